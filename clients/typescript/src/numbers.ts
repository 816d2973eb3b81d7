/** Integers from here on are written with an exponent: measures, not ids that must stay exact. */
const MIN_EXPONENT = 1e21;

/**
 * Checks that no number in a request was or would be rounded. Throws a RangeError for a bigint, and for
 * an integer beyond Number.MAX_SAFE_INTEGER, which may stand for another one.
 */
export function checkNumbers(value: unknown, path: string): void {
  if (typeof value === "bigint") {
    throw new RangeError(`${path}: ${shorten(value)} is a bigint; use a number or a string`);
  }
  if (typeof value === "number") {
    if (Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value) < MIN_EXPONENT) {
      throw new RangeError(`${path}: the number ${value} cannot be stored exactly; use a string`);
    }
  } else if (Array.isArray(value)) {
    value.forEach((element, index) => checkNumbers(element, `${path}[${index}]`));
  } else if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    for (const [key, element] of Object.entries(value)) {
      checkNumbers(element, path ? `${path}.${key}` : key);
    }
  }
}

function shorten(value: bigint): string {
  const digits = value.toString();
  return digits.length > 20 ? `${digits.slice(0, 20)}...` : digits;
}
