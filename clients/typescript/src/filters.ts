/**
 * Functions that build filters. A filter matches items by their attributes.
 *
 *     import { filters } from "@akin/client";
 *
 *     const { all, between, equals, none, oneOf } = filters;
 *     const filter = all(equals("in_stock", true), between("price", { lt: 100 }), none(oneOf("brand", ["Acme"])));
 *
 * The documentation of Filter and Condition defines the tests and their limits.
 */

import type { Condition, Filter } from "./generated/akin/v1/filter.js";

/** A value that attributes can be compared with. */
export type Scalar = string | number | boolean;

/** A bound of a range: a number or a time. */
export type Bound = number | Date;

/** Is met if the attribute equals the value. */
export function equals(attribute: string, value: Scalar | readonly Scalar[]): Condition {
  return { attribute, equals: value };
}

/** Is met if the attribute equals one of the values. */
export function oneOf(attribute: string, values: readonly Scalar[]): Condition {
  return { attribute, oneOf: [...values] };
}

/** Is met if the attribute is a list that contains one of the values, or equals one of them. */
export function containsAny(attribute: string, values: readonly Scalar[]): Condition {
  return { attribute, containsAny: [...values] };
}

/** Is met if the attribute lies in a range of numbers or times. */
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

/**
 * Is met if the item has the attribute with a value other than null. If `present` is false, it is met
 * if the item lacks the attribute or has null for it.
 */
export function exists(attribute: string, present = true): Condition {
  return { attribute, exists: present };
}

/**
 * Matches items that meet every condition. Without conditions it matches every item. The server
 * refuses such a filter inside another one.
 */
export function all(...parts: (Condition | Filter)[]): Filter {
  return { all: parts.map(toCondition), any: [], none: [] };
}

/**
 * Matches items that meet at least one condition. Throws without conditions, because an empty list in
 * the message would match every item.
 */
export function any(...parts: (Condition | Filter)[]): Filter {
  if (parts.length === 0) {
    throw new RangeError("any requires at least one condition");
  }
  return { all: [], any: parts.map(toCondition), none: [] };
}

/** Matches items that meet none of the conditions, such as items that lack the attributes. */
export function none(...parts: (Condition | Filter)[]): Filter {
  return { all: [], any: [], none: parts.map(toCondition) };
}

function toCondition(part: Condition | Filter): Condition {
  return "attribute" in part ? part : { attribute: "", filter: part };
}

function seconds(bound: Bound | undefined): number | undefined {
  return bound instanceof Date ? bound.getTime() / 1000 : bound;
}
