import type { Json } from "../api/types";
import type { Converter, Fields } from "./convert";
import { findType } from "./event_names";
import { INTERACTION_FIELDS, type InteractionColumns, assignColumns, isRating } from "./interaction_fields";
import { isExact, isNumberCell } from "./numbers";
import { formatTimeUs, parseTime } from "./times";

// Of ratings up to five: those from the first number on are likes, and those below the other dislikes.
const SCALE_END = 5;
const LIKE_FROM = 3.5;
const DISLIKE_BELOW = 2.5;

// A scale ends at five if the highest of the first ratings is at least this.
const MIN_HIGHEST_RATING = 4;

/** Read rows of a table as interactions. Columns that are no field are ignored, and named in a note. */
export function makeRowConverter(columns: string[], sample: Fields[], types: string[]): Converter {
  const assigned = assignColumns(columns);
  for (const field of ["user_id", "item_id"] as const) {
    if (!assigned[field]) throw new Error(`No column is the ${field}. Rename one, or use \`akin import\`.`);
  }
  if (!assigned.type && !assigned.value) throw new Error("No column is the type or a rating.");
  if (!assigned.type && assigned.value) checkScale(assigned.value, sample);
  const catalogTypes = new Set(types);
  return {
    notes: describe(columns, assigned),
    convert: (row, position) => build(row, assigned, catalogTypes, position),
  };
}

/** Read JSON objects as interactions. A field that interactions lack is an error. */
export function makeObjectConverter(sample: Fields[], types: string[]): Converter {
  const catalogTypes = new Set(types);
  const rated = sample.filter((value) => !assignColumns(Object.keys(value)).type);
  const ratings = new Set(rated.flatMap((value) => assignColumns(Object.keys(value)).value ?? []));
  for (const column of ratings) if (isRating(column)) checkScale(column, rated);
  return {
    notes: [],
    convert: (value, position) => {
      const columns = Object.keys(value);
      const assigned = assignColumns(columns);
      const unknown = columns.find((name) => !Object.values(assigned).includes(name));
      if (unknown !== undefined) throw new Error(`${unknown}: unknown field of an interaction`);
      return build(value, assigned, catalogTypes, position);
    },
  };
}

function build(row: Fields, columns: InteractionColumns, types: Set<string>, position: number): Fields {
  const read = (column: string | undefined) => (column === undefined ? undefined : (row[column] ?? undefined));
  const value = parseValue(read(columns.value));
  const time = read(columns.time);
  const interaction: Fields = {
    userId: parseId(read(columns.user_id), "user_id"),
    itemId: parseId(read(columns.item_id), "item_id"),
    type: chooseType(parseId(read(columns.type), "type"), columns, value, types),
    // Rows without a time have the order of the file, and come before all that have one.
    time: time === undefined || time === "" ? formatTimeUs(BigInt(position)) : parseTime(time),
  };
  for (const id of ["userId", "itemId"]) if (!interaction[id]) throw new Error(`${id}: is required`);
  if (value !== undefined) interaction["value"] = value;
  const interactionId = parseId(read(columns.interaction_id), "interaction_id");
  if (interactionId) interaction["interactionId"] = interactionId;
  const recommendationId = parseId(read(columns.recommendation_id), "recommendation_id");
  if (recommendationId) interaction["recommendationId"] = recommendationId;
  return interaction;
}

function chooseType(event: string, columns: InteractionColumns, value: number | undefined, types: Set<string>): string {
  if (event) return findType(event, types);
  if (columns.type || value === undefined || !isRating(columns.value ?? "")) {
    throw new Error("type: is required, or a rating up to 5; `akin import` can give all rows one with --type");
  }
  if (value <= 0 || value > SCALE_END) throw new Error(`value: the rating ${value} is not above 0 and up to ${SCALE_END}`);
  if (value >= LIKE_FROM) return "LIKE";
  return value < DISLIKE_BELOW ? "DISLIKE" : "VIEW";
}

/** Check that the first ratings of a column without types look like ratings up to five. */
function checkScale(column: string, sample: Fields[]): void {
  const ratings = sample.flatMap((row) => {
    try {
      return parseValue(row[column] ?? undefined) ?? [];
    } catch {
      return [];
    }
  });
  const [low, high] = [Math.min(...ratings), Math.max(...ratings)];
  const isKnown = !ratings.length || (low > 0 && high >= MIN_HIGHEST_RATING && high <= SCALE_END);
  if (isRating(column) && isKnown) return;
  const range = ratings.length ? `: its first values are from ${low} to ${high}` : "";
  throw new Error(`The scale of ${column} is unknown${range}. Use \`akin import\` with --like-from or --type.`);
}

/** Say how the columns of a table are read. */
function describe(columns: string[], assigned: InteractionColumns): string[] {
  const fields = INTERACTION_FIELDS.filter((field) => assigned[field]).map((field) => `${field} from ${assigned[field]}`);
  const ignored = columns.filter((column) => !Object.values(assigned).includes(column));
  const notes = [`Interactions: ${fields.join(", ")}`];
  if (!assigned.type) notes.push(`Type: LIKE from ${LIKE_FROM}, DISLIKE below ${DISLIKE_BELOW}, VIEW otherwise`);
  if (!assigned.time) notes.push("Time: the order of the rows, from 1970-01-01 on");
  if (ignored.length) notes.push(`Ignored columns: ${ignored.map((column) => column || "(no name)").join(", ")}`);
  return notes;
}

function parseValue(value: Json | undefined): number | undefined {
  if (value === undefined || value === "") return undefined;
  if (typeof value === "number" && isExact(String(value))) return value;
  if (typeof value === "string" && isNumberCell(value.trim())) return Number(value);
  throw new Error("value: must be a number that can be stored exactly, such as 4.5");
}

function parseId(value: Json | undefined, name: string): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (Number.isSafeInteger(value)) return String(value);
  throw new Error(`${name}: must be a string or an integer`);
}
