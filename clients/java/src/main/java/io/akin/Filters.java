package io.akin;

import io.akin.v1.Condition;
import io.akin.v1.Filter;
import io.akin.v1.Range;
import java.time.Instant;
import java.util.List;

/**
 * Builds filters from plain Java values. A filter matches items by their attributes.
 *
 * <p>The documentation of {@link Filter} and {@link Condition} defines the tests and their limits.
 */
public final class Filters {
  private Filters() {}

  /** The attribute equals the value: a string, a number, a boolean, or an iterable of those. */
  public static Condition eq(String attribute, Object value) {
    return on(attribute).setEquals(Attributes.value(value)).build();
  }

  /** The attribute equals one of these strings, numbers or booleans. */
  public static Condition oneOf(String attribute, Object... values) {
    return on(attribute).setOneOf(Attributes.list(List.of(values))).build();
  }

  /** The attribute is a list that contains one of these values, or it equals one of them. */
  public static Condition containsAny(String attribute, Object... values) {
    return on(attribute).setContainsAny(Attributes.list(List.of(values))).build();
  }

  /** The attribute is greater than a number, or later than a time (see {@link #seconds}). */
  public static Condition gt(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setGt(bound)).build();
  }

  /** The attribute is at least a number, or not earlier than a time (see {@link #seconds}). */
  public static Condition gte(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setGte(bound)).build();
  }

  /** The attribute is less than a number, or earlier than a time (see {@link #seconds}). */
  public static Condition lt(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setLt(bound)).build();
  }

  /** The attribute is at most a number, or not later than a time (see {@link #seconds}). */
  public static Condition lte(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setLte(bound)).build();
  }

  /** Converts a time to a bound, which is compared with timestamps and dates. */
  public static double seconds(Instant time) {
    return time.getEpochSecond() + time.getNano() / 1e9;
  }

  /** The item has the attribute with a value other than null. */
  public static Condition exists(String attribute) {
    return on(attribute).setExists(true).build();
  }

  /** The item lacks the attribute, or has null for it. */
  public static Condition missing(String attribute) {
    return on(attribute).setExists(false).build();
  }

  /** The item matches a nested filter. */
  public static Condition passes(Filter filter) {
    return Condition.newBuilder().setFilter(filter).build();
  }

  /**
   * Matches items that meet every condition. Without conditions it matches every item. The server
   * refuses such a filter inside another one.
   */
  public static Filter allOf(Condition... conditions) {
    return Filter.newBuilder().addAllAll(List.of(conditions)).build();
  }

  /**
   * Matches items that meet at least one condition.
   *
   * @throws IllegalArgumentException if there are no conditions, because an empty list in the
   *     message would match every item
   */
  public static Filter anyOf(Condition... conditions) {
    if (conditions.length == 0) {
      throw new IllegalArgumentException("anyOf requires at least one condition");
    }
    return Filter.newBuilder().addAllAny(List.of(conditions)).build();
  }

  /** Matches items that meet none of the conditions, such as items that lack the attributes. */
  public static Filter noneOf(Condition... conditions) {
    return Filter.newBuilder().addAllNone(List.of(conditions)).build();
  }

  private static Condition.Builder on(String attribute) {
    return Condition.newBuilder().setAttribute(attribute);
  }
}
