import type { Attributes, Item, Json } from "./api/types";

const COUNT = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const TIME = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const SMALL_AMOUNT = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

const AGE = new Intl.RelativeTimeFormat("en", { numeric: "always" });

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

export function formatCount(count: number | string | undefined): string {
  return COUNT.format(Number(count ?? 0));
}

export function formatCompact(count: number | string | undefined): string {
  return COMPACT.format(Number(count ?? 0));
}

export function formatPlural(count: number | string | undefined, noun: string): string {
  return `${formatCount(count)} ${noun}${Number(count ?? 0) === 1 ? "" : "s"}`;
}

export function formatTime(time: string | undefined): string {
  return time ? TIME.format(new Date(time)) : "";
}

/** Return how long ago a time was, in its largest unit: 3 hours ago. */
export function formatAge(time: string): string {
  const seconds = Math.min(0, (Date.parse(time) - Date.now()) / 1000);
  const [unit, length] = UNITS.find(([, candidate]) => -seconds >= candidate) ?? ["second", 1];
  return AGE.format(Math.ceil(seconds / length), unit);
}

export function formatPercent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

export function formatScore(score: number | undefined): string {
  return (score ?? 0).toFixed(3);
}

export function formatBytes(bytes: number | string | undefined): string {
  let amount = Number(bytes ?? 0);
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (amount < 1024) return `${amount < 10 && unit !== "B" ? amount.toFixed(1) : Math.round(amount)} ${unit}`;
    amount /= 1024;
  }
  return `${amount.toFixed(1)} TiB`;
}

/** Return an amount in US dollars; an amount that is not 0 never looks like 0. */
export function formatUsd(amount: number | undefined): string {
  if (!amount) return "$0";
  return `$${amount >= 0.1 ? amount.toFixed(2) : SMALL_AMOUNT.format(amount)}`;
}

/** Return a duration of proto3 JSON, such as `93.5s`, for people. */
export function formatDuration(duration: string | undefined): string {
  const seconds = Math.ceil(Number((duration ?? "0s").replace("s", "")));
  if (seconds < 60) return `${seconds} s`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

export function formatJson(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Return an enum value without its prefix, in lower case: RANKING_POOLED is `pooled`. */
export function formatEnum(value: string | undefined, prefix: string): string {
  return (value ?? "").replace(prefix, "").replaceAll("_", " ").toLowerCase();
}

const TITLE_KEYS = ["title", "name", "label", "headline"];
const TITLE_LENGTH = 80;

/** Return a title for an item: an attribute that names it, or the start of its text. */
export function findTitle(item: Item | undefined, id = ""): string {
  for (const key of TITLE_KEYS) {
    const value = item?.attributes?.[key];
    if (typeof value === "string" && value.trim()) return value;
  }
  const text = stripMarkup(item?.text ?? "");
  return text.length > TITLE_LENGTH ? `${text.slice(0, TITLE_LENGTH).trimEnd()}…` : text || id;
}

// Tags that descriptions of items have. Other angle brackets are text, as in vector<int>.
const TAGS =
  "a|abbr|article|b|blockquote|br|cite|code|dd|del|div|dl|dt|em|figure|font|footer|h[1-6]|header|hr|i|img|ins|li|main|" +
  "mark|ol|p|pre|q|s|script|section|small|span|strike|strong|style|sub|sup|table|tbody|td|th|thead|tr|u|ul";
const TAG_ATTRIBUTE = String.raw`\s+[\w:-]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))?`;
const TAG = new RegExp(`</?(?:${TAGS})(?:${TAG_ATTRIBUTE})*\\s*/?>`, "gi");
const UNSHOWN = /<!--[^]*?-->|<(script|style)\b[^>]*>[^]*?(?:<\/\1\s*>|$)/gi;
const BLOCK = /^<\/?(?:p|div|br|li|h\d|td|th|tr)\b/i;

/** Return the text without HTML markup, scripts and styles, for display. */
export function stripMarkup(text: string): string {
  if (text.search(TAG) < 0) return text;
  const words = text.replace(UNSHOWN, "").replace(TAG, (tag) => (BLOCK.test(tag) ? " " : ""));
  // What is left has no tags, only characters that may be written as &amp;.
  const { body } = new DOMParser().parseFromString(words.replaceAll("<", "&lt;"), "text/html");
  return (body.textContent ?? "").trim();
}

/** Return attributes by name, because the API gives them in any order. */
export function sortAttributes(attributes: Attributes | undefined): [string, Json][] {
  return Object.entries(attributes ?? {}).sort(([left], [right]) => (left < right ? -1 : 1));
}

/** Return the attributes that a card shows: short ones, without the title. */
export function listFacts(item: Item | undefined, limit: number): [string, string][] {
  return sortAttributes(item?.attributes)
    .filter(([key, value]) => !TITLE_KEYS.includes(key) && value !== null)
    .map(([key, value]): [string, string] => [
      key,
      Array.isArray(value) ? value.map(formatJson).join(", ") : formatJson(value),
    ])
    .filter(([, value]) => value.length <= 60)
    .slice(0, limit);
}
