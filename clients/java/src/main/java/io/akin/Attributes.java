package io.akin;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import java.util.Map;

/** Attributes of items from plain Java values. */
public final class Attributes {
  private Attributes() {}

  /**
   * The attributes of an item.
   *
   * @param values strings, numbers, booleans, null, and iterables and maps of those
   * @throws IllegalArgumentException if there is a value of another type
   */
  public static Struct of(Map<String, ?> values) {
    Struct.Builder struct = Struct.newBuilder();
    values.forEach((key, each) -> struct.putFields(key, value(each)));
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
    } else if (from instanceof Iterable<?> each) {
      value.setListValue(list(each));
    } else if (from instanceof Map<?, ?> map) {
      Struct.Builder struct = Struct.newBuilder();
      map.forEach((key, each) -> struct.putFields((String) key, value(each)));
      value.setStructValue(struct);
    } else {
      throw new IllegalArgumentException("no JSON value: " + from.getClass().getName());
    }
    return value.build();
  }

  static ListValue list(Iterable<?> values) {
    ListValue.Builder list = ListValue.newBuilder();
    values.forEach(each -> list.addValues(value(each)));
    return list.build();
  }
}
