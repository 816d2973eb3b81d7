package io.akin;

import io.akin.v1.Condition;
import io.akin.v1.Filter;
import io.akin.v1.Range;
import java.time.Instant;
import java.util.List;

/**
 * Filters from plain Java values: which items count, by their attributes.
 *
 * <p>What each test is true of, and the limits, are told at {@link Filter} and {@link Condition}.
 */
public final class Filters {
  private Filters() {}

  /** The attribute is this value: a string, a number, a boolean, or an iterable of those. */
  public static Condition eq(String attribute, Object value) {
    return on(attribute).setEquals(Attributes.value(value)).build();
  }

  /** The attribute is one of these strings, numbers or booleans. */
  public static Condition oneOf(String attribute, Object... values) {
    return on(attribute).setOneOf(Attributes.list(List.of(values))).build();
  }

  /** The attribute is a list with at least one of these, or is itself one of them. */
  public static Condition containsAny(String attribute, Object... values) {
    return on(attribute).setContainsAny(Attributes.list(List.of(values))).build();
  }

  /** The attribute is greater than this number, or later than these seconds. */
  public static Condition gt(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setGt(bound)).build();
  }

  /** The attribute is at least this number or these seconds. */
  public static Condition gte(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setGte(bound)).build();
  }

  /** The attribute is less than this number, or earlier than these seconds. */
  public static Condition lt(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setLt(bound)).build();
  }

  /** The attribute is at most this number or these seconds. */
  public static Condition lte(String attribute, double bound) {
    return on(attribute).setRange(Range.newBuilder().setLte(bound)).build();
  }

  /** A moment as the bound of a range that is compared with timestamps and dates. */
  public static double seconds(Instant moment) {
    return moment.getEpochSecond() + moment.getNano() / 1e9;
  }

  /** The item has the attribute, and not null for it. */
  public static Condition exists(String attribute) {
    return on(attribute).setExists(true).build();
  }

  /** The item lacks the attribute, or has null for it. */
  public static Condition missing(String attribute) {
    return on(attribute).setExists(false).build();
  }

  /** A filter as a condition of another. */
  public static Condition passes(Filter filter) {
    return Condition.newBuilder().setFilter(filter).build();
  }

  /** Every one of these is true; of none at all, every item passes. */
  public static Filter allOf(Condition... conditions) {
    return Filter.newBuilder().addAllAll(List.of(conditions)).build();
  }

  /**
   * At least one of these is true.
   *
   * @throws IllegalArgumentException if none are given: on the wire that lets every item pass
   */
  public static Filter anyOf(Condition... conditions) {
    if (conditions.length == 0) {
      throw new IllegalArgumentException("anyOf needs a condition");
    }
    return Filter.newBuilder().addAllAny(List.of(conditions)).build();
  }

  /** None of these is true, as for items that lack the attributes they ask about. */
  public static Filter noneOf(Condition... conditions) {
    return Filter.newBuilder().addAllNone(List.of(conditions)).build();
  }

  private static Condition.Builder on(String attribute) {
    return Condition.newBuilder().setAttribute(attribute);
  }
}
