import { type Converter, type Fields, type Kind, convertObject } from "./convert";
import { findDelimiter, parseCsv } from "./csv";
import { makeObjectConverter, makeRowConverter } from "./interactions";
import { parseObject, splitLines, splitValues } from "./json_values";
import { checkColumns, makeItemConverter, makeUserConverter } from "./tables";

/** One record of a file as a line of JSON for the API, or why it is none. */
export type FileRecord = { line: number; json: string } | { line: number; error: string };

/** An object or a row of a file, of a number of letters. */
interface ParsedRecord {
  line: number;
  value: Fields;
  size: number;
}

type RawRecord = ParsedRecord | { line: number; error: string };

interface RawRecords {
  /** The columns of a table; undefined for JSON. */
  columns: string[] | undefined;
  records: AsyncGenerator<RawRecord>;
}

export interface ReadOptions {
  kind: Kind;
  /** The types of interactions that the catalog has. */
  types: string[];
  onBytes: (count: number) => void;
  onNotes: (notes: string[]) => void;
}

// The records that determine the types of columns and the scale of ratings, as for `akin import`.
const SAMPLE_RECORDS = 1000;
const SAMPLE_LETTERS = 16 * 1024 * 1024;

const HEAD_BYTES = 65_536;

// The first letters of formats that only the command reads, with bytes as letters.
const OTHER_FORMATS: Record<string, string> = {
  PAR1: "Parquet",
  "\x1f\x8b": "compressed",
  BZh: "compressed",
  "\xfd7zXZ": "compressed",
  "PK\x03\x04": "a workbook or a zip archive",
};

/** Read a file of JSON lines, of a JSON array, or of CSV with a header, record by record. */
export async function* readRecords(file: File, options: ReadOptions): AsyncGenerator<FileRecord> {
  const { columns, records } = await openRecords(file, options.onBytes);
  const sample = await takeSample(records);
  const values = sample.filter((record) => isParsed(record)).map(({ value }) => value);
  const { notes, convert } = makeConverter(columns, values, options);
  options.onNotes(notes);
  let position = 0;
  const read = (record: RawRecord): FileRecord => {
    position += 1;
    if (!isParsed(record)) return record;
    return attempt(record.line, () => ({ line: record.line, json: JSON.stringify(convert(record.value, position)) }));
  };
  for (const record of sample) yield read(record);
  for await (const record of records) yield read(record);
}

function makeConverter(columns: string[] | undefined, sample: Fields[], { kind, types }: ReadOptions): Converter {
  if (kind === "interactions") {
    return columns ? makeRowConverter(columns, sample, types) : makeObjectConverter(sample, types);
  }
  if (!columns) return { notes: [], convert: (value) => convertObject(kind, value) };
  return kind === "items" ? makeItemConverter(columns, sample) : makeUserConverter(columns);
}

async function openRecords(file: File, onBytes: (count: number) => void): Promise<RawRecords> {
  const head = await file.slice(0, HEAD_BYTES).arrayBuffer();
  const letters = String.fromCharCode(...new Uint8Array(head.slice(0, 8)));
  const format = Object.entries(OTHER_FORMATS).find(([start]) => letters.startsWith(start))?.[1];
  if (format) throw new Error(`The file is ${format}. Use \`akin import\`, or upload JSON or CSV.`);
  const start = new TextDecoder().decode(head).trimStart();
  const pieces = readPieces(file, onBytes);
  if (start.startsWith("[") || /^\{\s*\n/.test(start)) return { columns: undefined, records: parseAll(splitValues(pieces)) };
  if (!start || start.startsWith("{")) return { columns: undefined, records: parseAll(splitLines(pieces)) };
  return readTable(pieces, findDelimiter(start.split("\n", 1)[0] ?? ""));
}

async function* readPieces(file: File, onBytes: (count: number) => void): AsyncGenerator<string> {
  const reader = file.stream().getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (;;) {
    const { value, done } = await reader.read().catch(() => {
      throw new Error("The file cannot be read. It may have changed since you chose it.");
    });
    yield decode(decoder, value, !done);
    if (done) break;
    onBytes(value.byteLength);
  }
}

function decode(decoder: TextDecoder, bytes: Uint8Array<ArrayBuffer> | undefined, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream });
  } catch {
    throw new Error("The file is not UTF-8. Save it as UTF-8, then upload it.");
  }
}

async function* parseAll(parts: AsyncIterable<{ line: number; text: string }>): AsyncGenerator<RawRecord> {
  for await (const { line, text } of parts) {
    if (text.trim()) yield attempt(line, () => ({ line, value: parseObject(text), size: text.length }));
  }
}

async function readTable(pieces: AsyncIterable<string>, delimiter: string): Promise<RawRecords> {
  const rows = parseCsv(pieces, delimiter);
  const columns = ((await rows.next()).value?.cells ?? []).map((cell: string) => cell.trim());
  checkColumns(columns);
  return { columns, records: nameCells(rows, columns) };
}

async function* nameCells(rows: ReturnType<typeof parseCsv>, columns: string[]): AsyncGenerator<RawRecord> {
  for await (const { line, cells, error } of rows) {
    yield attempt(line, () => {
      if (error) throw new Error(error);
      if (cells.length !== columns.length) throw new Error(`${cells.length} cells, but the table has ${columns.length} columns`);
      const value = Object.fromEntries(columns.map((name, place) => [name, cells[place] ?? ""]));
      return { line, value, size: cells.reduce((sum, cell) => sum + cell.length, 0) };
    });
  }
}

async function takeSample(records: AsyncGenerator<RawRecord>): Promise<RawRecord[]> {
  const sample: RawRecord[] = [];
  let letters = 0;
  while (sample.length < SAMPLE_RECORDS && letters < SAMPLE_LETTERS) {
    const { value, done } = await records.next();
    if (done) break;
    sample.push(value);
    letters += isParsed(value) ? value.size : 0;
  }
  return sample;
}

function isParsed(record: RawRecord): record is ParsedRecord {
  return "value" in record;
}

function attempt<T>(line: number, build: () => T): T | { line: number; error: string } {
  try {
    return build();
  } catch (error) {
    return { line, error: error instanceof Error ? error.message : String(error) };
  }
}
