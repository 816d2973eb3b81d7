package io.akin;

import java.util.regex.Pattern;

/** Addresses that do not leave this machine. */
final class Loopback {
  // By the name alone: what a resolver says of another name may change after it was asked.
  private static final Pattern ADDRESS =
      Pattern.compile(
          "(dns:///)?(localhost|127(\\.\\d{1,3}){3}|\\[::1\\])(:\\d+)?", Pattern.CASE_INSENSITIVE);

  private Loopback() {}

  static boolean matches(String address) {
    return ADDRESS.matcher(address).matches();
  }
}
