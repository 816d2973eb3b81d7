package io.akin;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import java.util.Map;

/** Builds attributes of items from plain Java values. */
public final class Attributes {
  private Attributes() {}

  /**
   * Returns the attributes of an item.
   *
   * @param values strings, numbers, booleans, null, and iterables and maps of those
   * @throws IllegalArgumentException if a value has another type
   */
  public static Struct of(Map<String, ?> values) {
    Struct.Builder struct = Struct.newBuilder();
    values.forEach((key, element) -> struct.putFields(key, value(element)));
    return struct.build();
  }

  static Value value(Object from) {
    Value.Builder value = Value.newBuilder();
    if (from == null) {
      value.setNullValue(NullValue.NULL_VALUE);
    } else if (from instanceof String text) {
      value.setStringValue(text);
    } else if (from instanceof Number number) {
      value.setNumberValue(number.doubleValue());
    } else if (from instanceof Boolean bool) {
      value.setBoolValue(bool);
    } else if (from instanceof Iterable<?> elements) {
      value.setListValue(list(elements));
    } else if (from instanceof Map<?, ?> map) {
      Struct.Builder struct = Struct.newBuilder();
      map.forEach((key, element) -> struct.putFields((String) key, value(element)));
      value.setStructValue(struct);
    } else {
      throw new IllegalArgumentException("not a JSON value: " + from.getClass().getName());
    }
    return value.build();
  }

  static ListValue list(Iterable<?> values) {
    ListValue.Builder list = ListValue.newBuilder();
    values.forEach(element -> list.addValues(value(element)));
    return list.build();
  }
}
