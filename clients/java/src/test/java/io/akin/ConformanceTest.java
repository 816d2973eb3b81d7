package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/** The cases of clients/conformance, with the server at AKIN_ADDRESS. */
class ConformanceTest {
  private static final Path CASES = Path.of("../conformance/cases.json");
  private static final long TIMEOUT_MS = 10_000;
  private static final Duration EVENTUAL_TIMEOUT = Duration.ofSeconds(30);
  private static final long EVENTUAL_PAUSE_MS = 50;

  private static AkinClient client;

  @AfterAll
  static void close() {
    if (client != null) {
      client.close();
    }
  }

  /** The server behaves as the cases say. */
  @TestFactory
  Stream<DynamicTest> cases() throws Exception {
    String address = System.getenv("AKIN_ADDRESS");
    if (address == null) {
      // Surefire counts skipped tests but no skipped factories, and does not print the reason.
      String reason = "the conformance cases are skipped: AKIN_ADDRESS is not set";
      System.out.println(reason);
      return Stream.of(DynamicTest.dynamicTest(reason, () -> abort(reason)));
    }
    client = AkinClient.builder(address).build();
    JsonObject file = JsonParser.parseString(Files.readString(CASES)).getAsJsonObject();
    return file.getAsJsonArray("cases").asList().stream()
        .map(JsonElement::getAsJsonObject)
        .map(
            testCase ->
                DynamicTest.dynamicTest(
                    testCase.get("name").getAsString(), () -> runCase(testCase)));
  }

  private static void runCase(JsonObject testCase) throws Exception {
    Map<String, JsonElement> saved = new HashMap<>();
    int number = 0;
    for (JsonElement step : testCase.getAsJsonArray("steps")) {
      number++;
      runUntilDone("step " + number, step.getAsJsonObject(), saved);
    }
  }

  /** Runs a step. Repeats one with {@code eventually} until it succeeds or its time has passed. */
  private static void runUntilDone(String name, JsonObject step, Map<String, JsonElement> saved)
      throws Exception {
    Instant end = Instant.now().plus(step.has("eventually") ? EVENTUAL_TIMEOUT : Duration.ZERO);
    while (true) {
      try {
        run(name, step, saved);
        return;
      } catch (AssertionError e) {
        if (Instant.now().isAfter(end)) {
          throw e;
        }
        Thread.sleep(EVENTUAL_PAUSE_MS);
      }
    }
  }


  private static void run(String name, JsonObject step, Map<String, JsonElement> saved)
      throws Exception {
    JsonObject expectedError = step.getAsJsonObject("error");
    if (expectedError != null) {
      Exception failure = assertThrows(Exception.class, () -> call(step, saved), name);
      assertFailsAs(name, expectedError, AkinException.from(failure));
      return;
    }
    JsonArray responses = call(step, saved);
    JsonArray expected = step.getAsJsonArray("responses");
    if (step.has("lastResponse")) {
      while (responses.size() > 1) {
        responses.remove(0);
      }
      expected = new JsonArray();
      expected.add(step.get("lastResponse"));
    } else if (expected == null) {
      expected = new JsonArray();
      expected.add(step.has("response") ? step.get("response") : new JsonObject());
    }
    List<String> differences = new ArrayList<>();
    Json.compare(name, Json.fill(expected, saved), responses, differences);
    assertEquals(List.of(), differences);
    if (step.has("save")) {
      step.getAsJsonObject("save")
          .entrySet()
          .forEach(
              field ->
                  saved.put(
                      field.getKey(), at(responses.get(0), field.getValue().getAsString())));
    }
  }

  private static JsonArray call(JsonObject step, Map<String, JsonElement> saved)
      throws Exception {
    List<JsonElement> requests =
        step.has("requests")
            ? step.getAsJsonArray("requests").asList()
            : List.of(step.get("request"));
    List<String> updateMask =
        step.has("updateMask")
            ? step.getAsJsonArray("updateMask").asList().stream()
                .map(JsonElement::getAsString)
                .toList()
            : null;
    long timeoutMs = step.has("timeoutMs") ? step.get("timeoutMs").getAsLong() : TIMEOUT_MS;
    JsonArray responses = new JsonArray();
    new Caller(client.channel())
        .call(
            step.get("method").getAsString(),
            requests.stream().map(request -> Json.fill(request, saved)).toList(),
            updateMask,
            timeoutMs)
        .forEach(responses::add);
    return responses;
  }

  private static void assertFailsAs(String name, JsonObject expected, AkinException error) {
    assertEquals(expected.get("code").getAsString(), error.code().name(), name + ": " + error);
    if (expected.has("reason")) {
      assertEquals(expected.get("reason").getAsString(), error.reason(), name + ": " + error);
    }
    if (expected.has("fields")) {
      assertEquals(
          expected.getAsJsonArray("fields").asList().stream()
              .map(JsonElement::getAsString)
              .sorted()
              .toList(),
          error.violations().stream().map(Violation::field).sorted().toList(),
          name);
    }
    if (expected.has("retryDelay") && expected.get("retryDelay").getAsBoolean()) {
      assertTrue(error.retryAfter().isPresent(), name + " has no RetryInfo");
    }
  }

  private static JsonElement at(JsonElement response, String path) {
    JsonElement value = response;
    for (String part : path.split("\\.")) {
      value = value.getAsJsonObject().get(part);
    }
    return value;
  }
}
