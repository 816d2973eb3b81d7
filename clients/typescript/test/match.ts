/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Replaces `$repeat` objects by strings and `${name}` by saved values. */
export function fill(value: Json, saved: ReadonlyMap<string, string>): Json {
  if (typeof value === "string") {
    const name = /^\$\{(.*)\}$/.exec(value)?.[1];
    return name === undefined ? value : (saved.get(name) ?? value);
  }
  if (Array.isArray(value)) {
    return value.map((entry) => fill(entry, saved));
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  if (typeof value["$repeat"] === "string") {
    return value["$repeat"].repeat(Number(value["$times"]));
  }
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, fill(field, saved)]));
}

/** Describes the first difference from the expected value; undefined if the value matches. */
export function mismatch(expected: Json, actual: Json | undefined, at = "response"): string | undefined {
  const differs = `${at}: expected ${JSON.stringify(expected)}, not ${String(JSON.stringify(actual)).slice(0, 200)}`;
  if (Array.isArray(expected)) {
    // Protobuf's JSON form omits empty lists.
    const list = actual ?? [];
    return !Array.isArray(list) || list.length !== expected.length
      ? differs
      : expected.map((entry, index) => mismatch(entry, list[index], `${at}[${index}]`)).find(Boolean);
  }
  if (expected !== null && typeof expected === "object") {
    if ("$set" in expected) {
      return isSet(actual) === expected["$set"] ? undefined : differs;
    }
    const object = actual ?? {};
    return typeof object !== "object" || Array.isArray(object)
      ? differs
      : Object.entries(expected)
          .map(([key, field]) => mismatch(field, object[key], `${at}.${key}`))
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
