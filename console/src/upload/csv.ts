/** A row of a CSV file with the number of the line at which it begins. */
export interface CsvRow {
  line: number;
  cells: string[];
}

/** Split the pieces of a text into the rows of a CSV file (RFC 4180). Empty lines are left out. */
export async function* parseCsv(pieces: AsyncIterable<string>, delimiter: string): AsyncGenerator<CsvRow> {
  let cells: string[] = [];
  let cell = "";
  let isQuoted = false;
  let isAfterQuote = false;
  let line = 1;
  let start = 1;

  const endRow = (): CsvRow | undefined => {
    const row = { line: start, cells: [...cells, cell] };
    cells = [];
    cell = "";
    isAfterQuote = false;
    return row.cells.length > 1 || row.cells[0] !== "" ? row : undefined;
  };

  for await (const piece of pieces) {
    for (const letter of piece) {
      if (letter === "\n") line += 1;
      if (isQuoted) {
        if (letter !== '"') cell += letter;
        else [isQuoted, isAfterQuote] = [false, true];
      } else if (letter === '"' && (isAfterQuote || cell === "")) {
        // A second quotation mark in a quoted cell stands for one.
        if (isAfterQuote) cell += letter;
        [isQuoted, isAfterQuote] = [true, false];
      } else if (letter === delimiter) {
        cells.push(cell);
        cell = "";
        isAfterQuote = false;
      } else if (letter === "\n") {
        const row = endRow();
        start = line;
        if (row) yield row;
      } else if (letter !== "\r") {
        cell += letter;
      }
    }
  }
  const last = endRow();
  if (last) yield last;
}

/** Return the delimiter of a header line: the one that it has most often. */
export function findDelimiter(header: string): string {
  const count = (delimiter: string) => header.split(delimiter).length;
  return [",", ";", "\t"].reduce((best, delimiter) => (count(delimiter) > count(best) ? delimiter : best));
}
