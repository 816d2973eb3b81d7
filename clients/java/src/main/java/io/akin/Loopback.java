package io.akin;

import java.util.regex.Pattern;

/** Recognizes addresses whose traffic stays on this machine. */
final class Loopback {
  // Only fixed names match, because the addresses of other names can change after a lookup.
  private static final Pattern ADDRESS =
      Pattern.compile(
          "(dns:///)?(localhost|127(\\.\\d{1,3}){3}|\\[::1\\])(:\\d+)?", Pattern.CASE_INSENSITIVE);

  private Loopback() {}

  static boolean matches(String address) {
    return ADDRESS.matcher(address).matches();
  }
}
