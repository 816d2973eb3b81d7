import type { Condition, Filter, Json } from "./api/types";

export const TESTS = {
  equals: "equals",
  oneOf: "is one of",
  containsAny: "contains any of",
  gte: "is at least",
  gt: "is more than",
  lte: "is at most",
  lt: "is less than",
  exists: "exists",
  missing: "is missing",
} as const;

export type Test = keyof typeof TESTS;
export type Group = "all" | "any" | "none";

/** One condition as its row of the filter builder has it. */
export interface FilterRow {
  group: Group;
  attribute: string;
  test: Test;
  value: string;
}

export const EMPTY_ROW: FilterRow = { group: "all", attribute: "", test: "equals", value: "" };

export function needsValue(test: Test): boolean {
  return test !== "exists" && test !== "missing";
}

/** Read a value as JSON if it is a number, a boolean or a quoted string, and as a string if not. */
export function parseValue(text: string): Json {
  try {
    const value = JSON.parse(text) as Json;
    return value === null || typeof value === "object" ? text : value;
  } catch {
    return text;
  }
}

function parseTime(text: string): number {
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) / 1000 : NaN;
  return Number.isNaN(time) ? Number(text) : time;
}

function parseList(text: string): Json[] {
  return text.split(",").map((part) => parseValue(part.trim()));
}

function buildCondition({ attribute, test, value }: FilterRow): Condition {
  switch (test) {
    case "equals":
      return { attribute, equals: parseValue(value) };
    case "oneOf":
      return { attribute, oneOf: parseList(value) };
    case "containsAny":
      return { attribute, containsAny: parseList(value) };
    case "exists":
      return { attribute, exists: true };
    case "missing":
      return { attribute, exists: false };
    default:
      return { attribute, range: { [test]: parseTime(value) } };
  }
}

/** Say why the value of a row cannot be compared; undefined if it can, or is still missing. */
export function findProblem({ test, value }: FilterRow): string | undefined {
  const isRange = ["gte", "gt", "lte", "lt"].includes(test);
  if (!isRange || value.trim() === "" || Number.isFinite(parseTime(value))) return undefined;
  return `“${value}” is not a number, and not a time such as 2026-01-31. The condition is not applied.`;
}

function isComplete(row: FilterRow): boolean {
  if (findProblem(row) !== undefined) return false;
  return row.attribute.trim() !== "" && (!needsValue(row.test) || row.value.trim() !== "");
}

/** Build the filter of the complete rows; undefined if there is none. */
export function buildFilter(rows: FilterRow[]): Filter | undefined {
  const filter: Filter = {};
  for (const row of rows.filter(isComplete)) {
    (filter[row.group] ??= []).push(buildCondition(row));
  }
  return Object.keys(filter).length ? filter : undefined;
}

const GROUP_WORDS: Record<Group, string> = { all: "", any: "any: ", none: "not: " };

export function describeFilter(rows: FilterRow[]): string {
  const conditions = rows
    .filter(isComplete)
    .map(({ group, attribute, test, value }) =>
      `${GROUP_WORDS[group]}${attribute} ${TESTS[test]}${needsValue(test) ? ` ${value}` : ""}`,
    );
  return conditions.join("; ") || "no filter";
}
