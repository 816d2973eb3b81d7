import type { Json } from "../api/types";

export type Kind = "items" | "users" | "interactions";
export type Fields = Record<string, Json>;

/** Turns the object or row at a position of a file, from 1, into the JSON of the API. */
export interface Converter {
  /** How the file is read, if that depends on its columns or values. */
  notes: string[];
  convert: (value: Fields, position: number) => Fields;
}

// Names that files for `akin import` use, and the names of the API in their two spellings.
const NAMES = {
  items: { id: "itemId", item_id: "itemId", expire_time: "expireTime" },
  users: { id: "userId", user_id: "userId", liked: "likedItems", liked_items: "likedItems" },
} satisfies Partial<Record<Kind, Record<string, string>>>;

/** Turn an object of a file into an Item or User in JSON. Fields that neither has are refused by the API. */
export function convertObject(kind: "items" | "users", value: Fields): Fields {
  const names: Record<string, string> = NAMES[kind];
  const fields = Object.entries(value).map(([name, field]): [string, Json] => [names[name] ?? name, field]);
  return Object.fromEntries(fields.map(([name, field]) => [name, convertList(name, field)]));
}

/** Plain strings stand for preferences and liked items with the weight 1, and lists of numbers for vectors. */
function convertList(name: string, field: Json): Json {
  if (!Array.isArray(field)) return field;
  if (name === "vectors") return field.map((values) => (Array.isArray(values) ? { values } : values));
  const part = { preferences: "text", likedItems: "itemId" }[name];
  if (!part) return field;
  return field.map((entry) => {
    if (typeof entry === "string") return { [part]: entry };
    if (part === "itemId" && entry && typeof entry === "object" && "item_id" in entry) {
      const { item_id: itemId = "", ...rest } = entry as Fields;
      return { ...rest, itemId };
    }
    return entry;
  });
}
