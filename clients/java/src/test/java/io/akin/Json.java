package io.akin;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/** The JSON of the conformance cases, whose form clients/conformance describes. */
final class Json {
  private static final double TOLERANCE = 1e-3;

  private Json() {}

  /** A request with its repetitions and saved values in place. */
  static JsonElement filled(JsonElement template, Map<String, JsonElement> saved) {
    if (template instanceof JsonArray array) {
      JsonArray made = new JsonArray();
      array.forEach(each -> made.add(filled(each, saved)));
      return made;
    }
    if (template instanceof JsonObject object) {
      if (object.has("$repeat")) {
        String text = object.get("$repeat").getAsString();
        return new JsonPrimitive(text.repeat(object.get("$times").getAsInt()));
      }
      JsonObject made = new JsonObject();
      object.entrySet().forEach(each -> made.add(each.getKey(), filled(each.getValue(), saved)));
      return made;
    }
    if (template instanceof JsonPrimitive value && value.isString()) {
      String text = value.getAsString();
      if (text.startsWith("${")) {
        return saved.get(text.substring(2, text.length() - 1));
      }
    }
    return template;
  }

  /** Notes where what was found, null if it is absent, is not as expected. */
  static void compare(String path, JsonElement expected, JsonElement found, List<String> faults) {
    if (expected instanceof JsonObject object && object.has("$set")) {
      if (isDefault(found) == object.get("$set").getAsBoolean()) {
        faults.add(path + " is " + found);
      }
    } else if (expected instanceof JsonObject object && found instanceof JsonObject other) {
      for (String name : new TreeSet<>(object.keySet())) {
        compare(path + "." + name, object.get(name), other.get(name), faults);
      }
    } else if (expected instanceof JsonArray array
        && found instanceof JsonArray other
        && array.size() == other.size()) {
      for (int i = 0; i < array.size(); i++) {
        compare(path + "[" + i + "]", array.get(i), other.get(i), faults);
      }
    } else if (!same(expected, found)) {
      faults.add(path + " is " + found + ", not " + expected);
    }
  }

  private static boolean same(JsonElement expected, JsonElement found) {
    return isNumber(expected) && isNumber(found)
        ? Math.abs(expected.getAsDouble() - found.getAsDouble()) <= TOLERANCE
        : expected.equals(found);
  }

  private static boolean isNumber(JsonElement element) {
    return element instanceof JsonPrimitive value && value.isNumber();
  }

  private static boolean isDefault(JsonElement found) {
    if (found instanceof JsonPrimitive value) {
      return value.isNumber()
          ? value.getAsDouble() == 0
          : List.of("", "0", "false").contains(value.getAsString());
    }
    return found == null
        || found instanceof JsonNull
        || found instanceof JsonArray array && array.isEmpty()
        || found instanceof JsonObject object && object.isEmpty();
  }
}
