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
 * How calls are repeated, and spread over the addresses of the server's name. It is the same for the
 * clients of all languages.
 *
 * <p>If the connection broke after a write was stored, the retry finds it stored: DeleteItem
 * returns NOT_FOUND, and a write with an expected sequence returns ABORTED. Streams are not
 * retried.
 */
final class ServiceConfig {
  private ServiceConfig() {}

  static Map<String, ?> load() {
    try (InputStream file = ServiceConfig.class.getResourceAsStream("service_config.json");
        InputStreamReader text = new InputStreamReader(file, StandardCharsets.UTF_8)) {
      // gRPC requires numbers of type Double, which Gson uses in plain maps.
      return new Gson().fromJson(text, new TypeToken<Map<String, Object>>() {});
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
