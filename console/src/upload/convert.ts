import type { Json } from "../api/types";

export type Kind = "items" | "users";
export type Fields = Record<string, Json>;

// Names that files for `akin import` use, and the names of the API in their two spellings.
const NAMES: Record<Kind, Record<string, string>> = {
  items: { id: "itemId", item_id: "itemId", expire_time: "expireTime" },
  users: { id: "userId", user_id: "userId", liked: "likedItems", liked_items: "likedItems" },
};

const ITEM_COLUMNS = new Set(["itemId", "text", "expireTime", "attributes"]);
const JSON_COLUMNS = new Set(["attributes", "preferences", "likedItems"]);

/** Turn an object of a file into an Item or User in JSON. Fields that neither has are refused by the API. */
export function convertObject(kind: Kind, value: Fields): Fields {
  const fields = Object.entries(value).map(([name, field]): [string, Json] => [NAMES[kind][name] ?? name, field]);
  return Object.fromEntries(fields.map(([name, field]) => [name, convertList(name, field)]));
}

/** Plain strings stand for preferences and liked items with the weight 1. */
function convertList(name: string, field: Json): Json {
  const part = { preferences: "text", likedItems: "itemId" }[name];
  if (!part || !Array.isArray(field)) return field;
  return field.map((entry) => {
    if (typeof entry === "string") return { [part]: entry };
    if (part === "itemId" && entry && typeof entry === "object" && "item_id" in entry) {
      const { item_id: itemId = "", ...rest } = entry as Fields;
      return { ...rest, itemId };
    }
    return entry;
  });
}

/** Turn a row of a table into an Item, whose other columns are attributes, or into a User. */
export function convertRow(kind: Kind, columns: string[], cells: string[]): Fields {
  const value: Fields = {};
  const attributes: Fields = {};
  columns.forEach((column, index) => {
    const cell = cells[index] ?? "";
    const name = NAMES[kind][column] ?? column;
    if (cell === "") return;
    if (JSON_COLUMNS.has(name)) value[name] = JSON.parse(cell) as Json;
    else if (kind === "users" || ITEM_COLUMNS.has(name)) value[name] = cell;
    else attributes[column] = convertCell(cell);
  });
  if (Object.keys(attributes).length) value["attributes"] = { ...attributes, ...(value["attributes"] as Fields) };
  return convertObject(kind, value);
}

/** A cell is a number or a boolean if it is written like one; 007 and 1e3 stay strings. */
function convertCell(cell: string): Json {
  if (cell === "true" || cell === "false") return cell === "true";
  return String(Number(cell)) === cell && Number.isFinite(Number(cell)) ? Number(cell) : cell;
}
