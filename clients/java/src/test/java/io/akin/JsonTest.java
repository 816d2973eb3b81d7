package io.akin;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.gson.JsonParser;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`', // JSON's own quotes stay, which Gson takes in this form too.
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
  void aDifferenceIsFound(String expected, String found) {
    assertEquals(1, faults(expected, found).size());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`', // JSON's own quotes stay, which Gson takes in this form too.
      value = {
        "{'a': 1}|{'a': 1.0005, 'b': 2}",
        "{'a': {'$set': false}}|{'a': '0'}",
        "{'a': {'$set': false}}|{}",
        "{'a': [null, {'$set': true}]}|{'a': [null, {'b': 1}]}"
      })
  void whatMatchesIsNone(String expected, String found) {
    assertEquals(List.of(), faults(expected, found));
  }

  private static List<String> faults(String expected, String found) {
    List<String> faults = new ArrayList<>();
    Json.compare("$", JsonParser.parseString(expected), JsonParser.parseString(found), faults);
    return faults;
  }
}
