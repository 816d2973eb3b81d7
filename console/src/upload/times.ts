// Numbers below each bound are in units of so many microseconds, as for `akin import`: seconds reach
// the year 5138, and milliseconds, microseconds and nanoseconds begin in 1973.
const SECONDS_BOUND = 1e11;
const MILLISECONDS_BOUND = 1e14;
const MICROSECONDS_BOUND = 1e17;

/** The first microsecond after the year 9999. */
const END_US = 253_402_300_800_000_000n;

const COMPACT_DATE = /^(19|20)\d{6}$/;
const DATE =
  /^(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?(Z| UTC|[-+]\d\d(?::?\d\d)?)?$/i;

/** Turn a number since 1970, or a date as in ISO 8601, into a time of JSON. Without a zone it is in UTC. */
export function parseTime(value: unknown): string {
  const timeUs = typeof value === "number" ? fromNumber(value) : typeof value === "string" ? fromText(value.trim()) : -1n;
  if (timeUs < 0n || timeUs >= END_US) {
    throw new Error("time: must be a number since 1970 or a date, such as 1767312000 or 2026-01-02T00:00:00Z");
  }
  return formatTimeUs(timeUs);
}

/** Write microseconds since 1970 as RFC 3339. */
export function formatTimeUs(timeUs: bigint): string {
  const seconds = new Date(Number(timeUs / 1_000_000n) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(timeUs % 1_000_000n).padStart(6, "0")}Z`;
}

function fromText(text: string): bigint {
  if (/^\d{1,40}$/.test(text) && !COMPACT_DATE.test(text)) return fromInteger(BigInt(text));
  if (/^\d{1,40}\.\d{1,40}$/.test(text)) return fromNumber(Number(text));
  const [, year, month, day, hour = "0", minute = "0", second = "0", fraction = "", zone = "Z"] = DATE.exec(text) ?? [];
  if (!year || !month || !day) return -1n;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(second));
  // A day, an hour or a minute that does not exist would end in another one.
  const isReal = date.getUTCDate() === Number(day) && date.getUTCMinutes() === Number(minute) && Number(hour) < 24;
  if (!isReal || Number(second) > 59) return -1n;
  const us = BigInt(fraction.padEnd(6, "0").slice(0, 6));
  return BigInt(date.getTime()) * 1000n + us - readOffsetUs(zone);
}

function readOffsetUs(zone: string): bigint {
  const [, sign, hours = "0", minutes = "0"] = /^([-+])(\d\d):?(\d\d)?$/.exec(zone) ?? [];
  const offsetUs = BigInt(Number(hours) * 60 + Number(minutes)) * 60_000_000n;
  return sign === "-" ? -offsetUs : offsetUs;
}

function fromInteger(value: bigint): bigint {
  if (value < SECONDS_BOUND) return value * 1_000_000n;
  if (value < MILLISECONDS_BOUND) return value * 1000n;
  return value < MICROSECONDS_BOUND ? value : value / 1000n;
}

function fromNumber(value: number): bigint {
  if (!Number.isFinite(value) || value < 0) return -1n;
  if (Number.isSafeInteger(value)) return fromInteger(BigInt(value));
  if (value < SECONDS_BOUND) return BigInt(Math.round(value * 1e6));
  return BigInt(Math.round(value < MILLISECONDS_BOUND ? value * 1000 : value < MICROSECONDS_BOUND ? value : value / 1000));
}
