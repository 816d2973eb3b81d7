import { type Fields, type Kind, convertObject, convertRow } from "./convert";
import { findDelimiter, parseCsv } from "./csv";

/** One record of a file as a line of JSON for the API, or why it is none. */
export type FileRecord = { line: number; json: string } | { line: number; error: string };

async function* readPieces(file: File, onBytes: (count: number) => void): AsyncGenerator<string> {
  const reader = file.stream().getReader();
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    yield decoder.decode(value, { stream: true });
    onBytes(value.byteLength);
  }
  yield decoder.decode();
}

async function* readTextLines(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  yield rest;
}

function attempt(line: number, build: () => Fields): FileRecord {
  try {
    return { line, json: JSON.stringify(build()) };
  } catch (error) {
    return { line, error: error instanceof Error ? error.message : String(error) };
  }
}

function parseObject(text: string): Fields {
  const value = JSON.parse(text) as unknown;
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("not a JSON object");
  return value as Fields;
}

/** Read a file of JSON lines, or of CSV with a header, record by record. */
export async function* readRecords(
  file: File,
  kind: Kind,
  onBytes: (count: number) => void,
): AsyncGenerator<FileRecord> {
  const start = (await file.slice(0, 65_536).text()).trimStart();
  if (start.startsWith("[")) throw new Error("The file is a JSON array. Upload JSON lines or CSV, or use `akin import`.");
  const pieces = readPieces(file, onBytes);
  if (start.startsWith("{")) {
    let line = 0;
    for await (const text of readTextLines(pieces)) {
      line += 1;
      if (text.trim()) yield attempt(line, () => convertObject(kind, parseObject(text)));
    }
    return;
  }
  let columns: string[] | undefined;
  for await (const row of parseCsv(pieces, findDelimiter(start.split("\n", 1)[0] ?? ""))) {
    if (!columns) columns = row.cells.map((cell) => cell.trim());
    else yield attempt(row.line, () => convertRow(kind, columns ?? [], row.cells));
  }
}
