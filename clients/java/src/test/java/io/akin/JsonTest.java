package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonParser;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonTest {
  /** A value that differs from the expected one is one difference. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`', // Keeps single quotes, which Gson accepts.
      value = {
        "{'a': 1}|{}",
        "{'a': 1.0}|{'a': 1.01}",
        "{'a': {'$set': true}}|{'a': '0'}",
        "{'a': {'$set': true}}|{}",
        "{'a': {'$set': false}}|{'a': [1]}",
        "{'a': [1]}|{'a': [1, 2]}",
        "{'a': 'x'}|{'a': 'y'}",
        "[]|[{}]"
      })
  void aDifferenceIsReported(String expected, String actual) {
    assertEquals(1, differences(expected, actual).size());
  }

  /** A value that contains everything expected is no difference. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`', // Keeps single quotes, which Gson accepts.
      value = {
        "{'a': 1}|{'a': 1.0005, 'b': 2}",
        "{'a': {'$set': false}}|{'a': '0'}",
        "{'a': {'$set': false}}|{}",
        "{'a': [null, {'$set': true}]}|{'a': [null, {'b': 1}]}"
      })
  void aMatchHasNoDifferences(String expected, String actual) {
    assertEquals(List.of(), differences(expected, actual));
  }

  private static List<String> differences(String expected, String actual) {
    List<String> differences = new ArrayList<>();
    Json.compare(
        "$", JsonParser.parseString(expected), JsonParser.parseString(actual), differences);
    return differences;
  }
}
