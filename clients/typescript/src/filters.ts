/**
 * Filters: which items count, by their attributes.
 *
 *     import { filters } from "@akin/client";
 *
 *     const { all, between, equals, none, oneOf } = filters;
 *     const filter = all(equals("in_stock", true), between("price", { lt: 100 }), none(oneOf("brand", ["Acme"])));
 *
 * What each test is true of, and the limits, are told at Filter and Condition.
 */

import type { Condition, Filter } from "./generated/akin/v1/filter.js";

/** A value that attributes are compared with. */
export type Scalar = string | number | boolean;

/** A bound of a range: a number or a time. */
export type Bound = number | Date;

/** The attribute is this value. */
export function equals(attribute: string, value: Scalar | readonly Scalar[]): Condition {
  return { attribute, equals: value };
}

/** The attribute is one of these. */
export function oneOf(attribute: string, values: readonly Scalar[]): Condition {
  return { attribute, oneOf: [...values] };
}

/** The attribute is a list with at least one of these, or is itself one of them. */
export function containsAny(attribute: string, values: readonly Scalar[]): Condition {
  return { attribute, containsAny: [...values] };
}

/** The attribute lies in a range of numbers or of times. */
export function between(
  attribute: string,
  bounds: { gt?: Bound; gte?: Bound; lt?: Bound; lte?: Bound },
): Condition {
  const { gt, gte, lt, lte } = bounds;
  return {
    attribute,
    range: { gt: seconds(gt), gte: seconds(gte), lt: seconds(lt), lte: seconds(lte) },
  };
}

/** The item has the attribute, and not null for it; with `present` false it has not. */
export function exists(attribute: string, present = true): Condition {
  return { attribute, exists: present };
}

/** Every one of these is true; of none at all, every item passes. */
export function all(...parts: (Condition | Filter)[]): Filter {
  return { all: parts.map(toCondition), any: [], none: [] };
}

/** At least one of these is true. Throws if none are given, which would let every item pass. */
export function any(...parts: (Condition | Filter)[]): Filter {
  if (parts.length === 0) {
    throw new RangeError("any needs a condition");
  }
  return { all: [], any: parts.map(toCondition), none: [] };
}

/** None of these is true, as for items that lack the attributes they ask about. */
export function none(...parts: (Condition | Filter)[]): Filter {
  return { all: [], any: [], none: parts.map(toCondition) };
}

function toCondition(part: Condition | Filter): Condition {
  return "attribute" in part ? part : { attribute: "", filter: part };
}

function seconds(bound: Bound | undefined): number | undefined {
  return bound instanceof Date ? bound.getTime() / 1000 : bound;
}
