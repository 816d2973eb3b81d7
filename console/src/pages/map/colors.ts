import type { Attributes } from "../../api/types";
import { formatJson } from "../../format";

export type Rgb = [number, number, number];

// Steps of the golden angle keep the hues of neighboring numbers apart.
const HUE_STEP = 137.508;
const LIGHTNESSES = [0.42, 0.54, 0.34];
const DARK_SCHEME_LIGHTNESSES = [0.62, 0.74, 0.54];
const OTHER: Rgb = [130, 138, 138];
const OPACITY = 205;

/** Values of an attribute beyond these have one color together. */
export const MAX_VALUES = 24;

export function pickColor(index: number): Rgb {
  if (index < 0) return OTHER;
  const lightnesses = matchMedia("(prefers-color-scheme: dark)").matches ? DARK_SCHEME_LIGHTNESSES : LIGHTNESSES;
  const lightness = lightnesses[Math.floor(index / 8) % lightnesses.length] ?? 0.5;
  return toRgb((174 + index * HUE_STEP) % 360, 0.58, lightness);
}

export function toHex(color: Rgb): string {
  return `#${color.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

function toRgb(hue: number, saturation: number, lightness: number): Rgb {
  const spread = saturation * Math.min(lightness, 1 - lightness);
  const channel = (shift: number) => {
    const place = (shift + hue / 30) % 12;
    return Math.round(255 * (lightness - spread * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  };
  return [channel(0), channel(8), channel(4)];
}

/** Return red, green, blue and opacity for each group; points outside of the focus are faint. */
export function paint(groups: Int32Array, isInFocus: (index: number) => boolean): Uint8Array<ArrayBuffer> {
  const colors = new Uint8Array(groups.length * 4);
  const palette = new Map([...new Set(groups)].map((group) => [group, pickColor(group)]));
  groups.forEach((group, index) => {
    colors.set(palette.get(group) ?? OTHER, index * 4);
    colors[index * 4 + 3] = isInFocus(index) ? OPACITY : 22;
  });
  return colors;
}

export interface Grouping {
  groups: Int32Array;
  /** The value of each group, most frequent first. */
  values: { value: string; count: number }[];
  /** The number of points in group -1. */
  restCount: number;
}

/** Group points by an attribute of their items. Rare values, and items without one, are group -1. */
export function groupByAttribute(ids: string[], attributes: Map<string, Attributes>, attribute: string): Grouping {
  const values = ids.map((id) => readValue(attributes.get(id), attribute));
  const counts = new Map<string, number>();
  for (const value of values) if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
  const frequent = [...counts]
    .sort(([, left], [, right]) => right - left)
    .slice(0, MAX_VALUES)
    .map(([value, count]) => ({ value, count }));
  const places = new Map(frequent.map(({ value }, index) => [value, index]));
  const groups = Int32Array.from(values, (value) => (value === undefined ? -1 : (places.get(value) ?? -1)));
  return { groups, values: frequent, restCount: groups.filter((group) => group < 0).length };
}

/** Return an attribute as text; the first value of a list stands for it. */
function readValue(attributes: Attributes | undefined, attribute: string): string | undefined {
  let value = attributes?.[attribute];
  if (Array.isArray(value)) [value] = value;
  return value === undefined || value === null ? undefined : formatJson(value);
}
