/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Fills in `$repeat` objects and what was saved as `${name}`. */
export function fill(value: Json, saved: ReadonlyMap<string, string>): Json {
  if (typeof value === "string") {
    const name = /^\$\{(.*)\}$/.exec(value)?.[1];
    return name === undefined ? value : (saved.get(name) ?? value);
  }
  if (Array.isArray(value)) {
    return value.map((each) => fill(each, saved));
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  if (typeof value["$repeat"] === "string") {
    return value["$repeat"].repeat(Number(value["$times"]));
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, fill(each, saved)]));
}

/** Where and how the actual value is not as expected; undefined if it is. */
export function mismatch(expected: Json, actual: Json | undefined, at = "response"): string | undefined {
  const differs = `${at}: expected ${JSON.stringify(expected)}, not ${String(JSON.stringify(actual)).slice(0, 200)}`;
  if (Array.isArray(expected)) {
    // Protobuf's JSON leaves out what is empty.
    const list = actual ?? [];
    return !Array.isArray(list) || list.length !== expected.length
      ? differs
      : expected.map((each, i) => mismatch(each, list[i], `${at}[${i}]`)).find(Boolean);
  }
  if (expected !== null && typeof expected === "object") {
    if ("$set" in expected) {
      return isSet(actual) === expected["$set"] ? undefined : differs;
    }
    const object = actual ?? {};
    return typeof object !== "object" || Array.isArray(object)
      ? differs
      : Object.entries(expected)
          .map(([key, each]) => mismatch(each, object[key], `${at}.${key}`))
          .find(Boolean);
  }
  const same =
    typeof expected === "number" ? Math.abs(expected - Number(actual ?? 0)) <= 0.001 : expected === actual;
  return same ? undefined : differs;
}

function isSet(value: Json | undefined): boolean {
  const empty = typeof value === "object" && value !== null && Object.keys(value).length === 0;
  return !(value === undefined || value === null || value === 0 || value === "0" || value === "" || value === false || empty);
}
