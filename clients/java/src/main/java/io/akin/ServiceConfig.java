package io.akin;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Which calls are tried again, and when; the same for every language.
 *
 * <p>Where the connection broke after the work was done, the repeat of a write finds it done:
 * DeleteItem answers NOT_FOUND, and a write with expected_sequence ABORTED. Streams are left out.
 */
final class ServiceConfig {
  private ServiceConfig() {}

  static Map<String, ?> load() {
    try (InputStream file = ServiceConfig.class.getResourceAsStream("service_config.json");
        InputStreamReader text = new InputStreamReader(file, StandardCharsets.UTF_8)) {
      // Into plain maps Gson puts every number as a Double, as gRPC wants it.
      return new Gson().fromJson(text, new TypeToken<Map<String, Object>>() {});
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
