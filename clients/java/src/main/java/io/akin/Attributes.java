package io.akin;

import com.google.protobuf.ListValue;
import com.google.protobuf.NullValue;
import com.google.protobuf.Struct;
import com.google.protobuf.Value;
import java.math.BigDecimal;
import java.util.Map;

/** Builds attributes of items from plain Java values. */
public final class Attributes {
  private Attributes() {}

  /**
   * Returns the attributes of an item.
   *
   * @param values strings, numbers, booleans, null, and iterables and maps of those
   * @throws IllegalArgumentException if a value has another type, or if a double cannot hold a
   *     number unchanged
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
      value.setNumberValue(toDouble(number));
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

  private static double toDouble(Number number) {
    double value = number.doubleValue();
    if (number instanceof Double || number instanceof Float) {
      return value;
    }
    BigDecimal exact = new BigDecimal(number.toString());
    boolean isInteger = exact.stripTrailingZeros().scale() <= 0;
    if (Double.isInfinite(value)
        || exact.compareTo(isInteger ? new BigDecimal(value) : BigDecimal.valueOf(value)) != 0) {
      String digits = exact.toString();
      String shown = digits.length() > 20 ? digits.substring(0, 20) + "..." : digits;
      throw new IllegalArgumentException(
          "the number " + shown + " cannot be stored exactly; use a string");
    }
    return value;
  }

  static ListValue list(Iterable<?> values) {
    ListValue.Builder list = ListValue.newBuilder();
    values.forEach(element -> list.addValues(value(element)));
    return list.build();
  }
}
