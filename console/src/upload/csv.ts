/** A row of a CSV file with the number of the line at which it begins. */
export interface CsvRow {
  line: number;
  cells: string[];
  /** Why it is no row. */
  error: string | undefined;
}

/** Split the pieces of a text into the rows of a CSV file (RFC 4180). Empty lines are left out. */
export async function* parseCsv(pieces: AsyncIterable<string>, delimiter: string): AsyncGenerator<CsvRow, undefined> {
  const reader = new RowReader(delimiter);
  for await (const piece of pieces) {
    for (const letter of piece) {
      const row = reader.push(letter);
      if (row) yield row;
    }
  }
  const last = reader.end();
  if (last) yield last;
}

/** Finds the cells of rows, letter by letter. */
class RowReader {
  private cells: string[] = [];
  private cell = "";
  private line = 1;
  private start = 1;
  private state: "plain" | "quoted" | "after quote" = "plain";
  private error: string | undefined;

  constructor(private readonly delimiter: string) {}

  /** Take the next letter; return a row that ends with it. */
  push(letter: string): CsvRow | undefined {
    if (letter === "\n") this.line += 1;
    if (this.state === "quoted") {
      if (letter === '"') this.state = "after quote";
      else this.cell += letter;
    } else if (letter === '"' && (this.state === "after quote" || this.cell === "")) {
      // A second quotation mark in a quoted cell stands for one.
      if (this.state === "after quote") this.cell += letter;
      this.state = "quoted";
    } else if (letter === this.delimiter) {
      this.endCell();
    } else if (letter === "\n") {
      return this.endRow();
    } else if (letter !== "\r") {
      if (this.state === "after quote") this.error ??= "not a row: a letter follows a closing quotation mark";
      this.cell += letter;
    }
    return undefined;
  }

  /** Return the last row, if the file does not end with a line break. */
  end(): CsvRow | undefined {
    if (this.state === "quoted") this.error ??= `not a row: a quotation mark is not closed up to line ${this.line}`;
    return this.endRow();
  }

  private endCell(): void {
    this.cells.push(this.cell);
    this.cell = "";
    this.state = "plain";
  }

  private endRow(): CsvRow | undefined {
    this.endCell();
    const row = { line: this.start, cells: this.cells, error: this.error };
    this.cells = [];
    this.error = undefined;
    this.start = this.line;
    return row.cells.length > 1 || row.cells[0] !== "" ? row : undefined;
  }
}

/** Return the delimiter of a header line: the one that it has most often. */
export function findDelimiter(header: string): string {
  const count = (delimiter: string) => header.split(delimiter).length;
  return [",", ";", "\t"].reduce((best, delimiter) => (count(delimiter) > count(best) ? delimiter : best));
}
