package io.akin;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** The JSON of the conformance cases, which the README of clients/conformance describes. */
final class Json {
  private static final double TOLERANCE = 1e-3;

  private Json() {}

  /** Replaces the placeholders of a value by repeated strings and saved values. */
  static JsonElement fill(JsonElement template, Map<String, JsonElement> saved) {
    if (template instanceof JsonArray array) {
      JsonArray filled = new JsonArray();
      array.forEach(entry -> filled.add(fill(entry, saved)));
      return filled;
    }
    if (template instanceof JsonObject object) {
      if (object.has("$repeat")) {
        String text = object.get("$repeat").getAsString();
        return new JsonPrimitive(text.repeat(object.get("$times").getAsInt()));
      }
      JsonObject filled = new JsonObject();
      object
          .entrySet()
          .forEach(field -> filled.add(field.getKey(), fill(field.getValue(), saved)));
      return filled;
    }
    if (template instanceof JsonPrimitive value && value.isString()) {
      String text = value.getAsString();
      if (text.startsWith("${")) {
        return saved.get(text.substring(2, text.length() - 1));
      }
    }
    return template;
  }

  /** Adds each difference from the expected value. The actual value is null if it is absent. */
  static void compare(
      String path, JsonElement expected, JsonElement actual, List<String> differences) {
    if (expected instanceof JsonObject object && object.has("$set")) {
      if (isDefault(actual) == object.get("$set").getAsBoolean()) {
        differences.add(path + " is " + actual);
      }
    } else if (expected instanceof JsonObject object && actual instanceof JsonObject other) {
      for (String name : new TreeSet<>(object.keySet())) {
        compare(path + "." + name, object.get(name), other.get(name), differences);
      }
    } else if (expected instanceof JsonArray array
        && actual instanceof JsonArray other
        && array.size() == other.size()) {
      for (int i = 0; i < array.size(); i++) {
        compare(path + "[" + i + "]", array.get(i), other.get(i), differences);
      }
    } else if (!areEqual(expected, actual)) {
      differences.add(path + " is " + actual + ", not " + expected);
    }
  }

  private static boolean areEqual(JsonElement expected, JsonElement actual) {
    return isNumber(expected) && isNumber(actual)
        ? Math.abs(expected.getAsDouble() - actual.getAsDouble()) <= TOLERANCE
        : expected.equals(actual);
  }

  private static boolean isNumber(JsonElement element) {
    return element instanceof JsonPrimitive value && value.isNumber();
  }

  private static boolean isDefault(JsonElement actual) {
    if (actual instanceof JsonPrimitive value) {
      return value.isNumber()
          ? value.getAsDouble() == 0
          : List.of("", "0", "false").contains(value.getAsString());
    }
    return actual == null
        || actual instanceof JsonNull
        || actual instanceof JsonArray array && array.isEmpty()
        || actual instanceof JsonObject object && object.isEmpty();
  }
}
