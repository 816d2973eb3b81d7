import type { Json } from "../api/types";
import { type Converter, type Fields, convertObject } from "./convert";
import { parseExactly } from "./json_values";
import { isNumberCell } from "./numbers";

type CellType = "number" | "boolean" | "text";

const ITEM_FIELDS = new Set(["id", "text", "expire_time", "vectors"]);
const USER_LISTS = new Set(["preferences", "liked", "liked_items"]);

/** Check the header of a table. */
export function checkColumns(columns: string[]): void {
  const twice = columns.find((name, place) => columns.indexOf(name) !== place);
  if (twice !== undefined) throw new Error(`Two columns have the name “${twice}”.`);
}

/** Read rows of a table as items: columns that are no field of an item are attributes. */
export function makeItemConverter(columns: string[], sample: Fields[]): Converter {
  for (const name of ["id", "text"]) {
    if (!columns.includes(name)) {
      throw new Error(`No column is named ${name}. Rename one, or use \`akin import\`, which can map columns.`);
    }
  }
  if (columns.includes("")) throw new Error("A column has no name.");
  const types = new Map(columns.map((name) => [name, inferType(sample.map((row) => String(row[name] ?? "")))]));
  const cells = sample.map((row) => String(row["attributes"] ?? "").trim()).filter(Boolean);
  const hasObjects = cells.length > 0 && cells.every((cell) => cell.startsWith("{") && cell.endsWith("}"));
  const listed = columns.filter((name) => !ITEM_FIELDS.has(name) && !(name === "attributes" && hasObjects));
  return {
    notes: listed.length ? [`Attributes: ${listed.map((name) => `${name} (${types.get(name)})`).join(", ")}`] : [],
    convert: (row) => {
      const item: Fields = {};
      const attributes: Fields = {};
      const nested = hasObjects ? parseAttributes(row["attributes"]) : {};
      for (const [name, cell] of Object.entries(row)) {
        if (cell === "" || (name === "attributes" && hasObjects)) continue;
        if (name === "vectors") item[name] = parseCell(name, cell);
        else if (ITEM_FIELDS.has(name)) item[name] = cell;
        else attributes[name] = convertCell(String(cell), types.get(name) ?? "text", name);
      }
      const twice = Object.keys(nested).find((name) => name in attributes);
      if (twice !== undefined) throw new Error(`attributes.${twice}: there is a column ${twice} too`);
      return convertObject("items", { ...item, attributes: { ...attributes, ...nested } });
    },
  };
}

/** Read rows of a table as users, whose lists are JSON. */
export function makeUserConverter(columns: string[]): Converter {
  if (!columns.includes("user_id")) throw new Error("No column is named user_id.");
  return {
    notes: [],
    convert: (row) =>
      convertObject(
        "users",
        Object.fromEntries(
          Object.entries(row).map(([name, cell]): [string, Json] => {
            if (!USER_LISTS.has(name)) return [name, cell];
            return [name, cell === "" ? [] : parseCell(name, cell)];
          }),
        ),
      ),
  };
}

/** Return the type that all cells of a column have; empty cells fit every type. */
function inferType(cells: string[]): CellType {
  const filled = cells.filter(Boolean);
  if (!filled.length) return "text";
  if (filled.every(isNumberCell)) return "number";
  return filled.every((cell) => /^(true|false)$/i.test(cell)) ? "boolean" : "text";
}

function convertCell(cell: string, type: CellType, name: string): Json {
  if (type === "text") return cell;
  if (inferType([cell]) !== type) throw new Error(`${name}: not a ${type}, unlike the first cells of the column`);
  return type === "number" ? Number(cell) : cell.toLowerCase() === "true";
}

function parseAttributes(cell: Json | undefined): Fields {
  if (!cell) return {};
  const value = parseCell("attributes", cell);
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error("attributes: must be a JSON object, as in the first rows");
  }
  return value;
}

function parseCell(name: string, cell: Json): Json {
  try {
    return parseExactly(String(cell)) as Json;
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
