import type { Fields } from "./convert";
import { isExact } from "./numbers";

/** A part of a file with the number of the line at which it begins. */
export interface TextPart {
  line: number;
  text: string;
}

/** Split the pieces of a text into lines. */
export async function* splitLines(pieces: AsyncIterable<string>): AsyncGenerator<TextPart> {
  let line = 0;
  let rest = "";
  for await (const piece of pieces) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const text of lines) yield { line: (line += 1), text };
  }
  yield { line: line + 1, text: rest };
}

/** Split a JSON array, or objects one after another, into its values. */
export async function* splitValues(pieces: AsyncIterable<string>): AsyncGenerator<TextPart> {
  const splitter = new ValueSplitter();
  for await (const piece of pieces) {
    for (const letter of piece) {
      const value = splitter.push(letter);
      if (value) yield value;
    }
  }
  const last = splitter.end();
  if (last) yield last;
}

/** Finds where the values of a JSON array end, letter by letter. */
class ValueSplitter {
  private text = "";
  private line = 1;
  private start = 1;
  private depth = 0;
  private isString = false;
  private isEscaped = false;
  private bracket: "none" | "open" | "closed" = "none";

  /** Take the next letter; return a value that ends with it. */
  push(letter: string): TextPart | undefined {
    if (letter === "\n") this.line += 1;
    return this.depth || this.isString ? this.pushInside(letter) : this.pushBetween(letter);
  }

  /** Return what is left at the end of the file, which is no whole value. */
  end(): TextPart | undefined {
    if (this.text) return this.take();
    // Without its end, the array may be cut off; the bracket is refused as a value.
    return this.bracket === "open" ? { line: this.line, text: "[" } : undefined;
  }

  private pushBetween(letter: string): TextPart | undefined {
    if (letter === "[" && this.bracket === "none" && !this.text) {
      this.bracket = "open";
      return undefined;
    }
    if (letter === "," && this.bracket === "open") return this.take();
    if (letter === "]" && this.bracket === "open") {
      this.bracket = "closed";
      return this.take();
    }
    if (/\s/.test(letter) && !this.text) return undefined;
    return this.pushInside(letter);
  }

  private pushInside(letter: string): TextPart | undefined {
    if (!this.text) this.start = this.line;
    this.text += letter;
    if (this.isString) {
      if (this.isEscaped) this.isEscaped = false;
      else if (letter === "\\") this.isEscaped = true;
      else if (letter === '"') this.isString = false;
    } else if (letter === '"') {
      this.isString = true;
    } else if (letter === "{" || letter === "[") {
      this.depth += 1;
    } else if ((letter === "}" || letter === "]") && this.depth) {
      this.depth -= 1;
      if (!this.depth) return this.take();
    }
    return undefined;
  }

  private take(): TextPart | undefined {
    const { text, start: line } = this;
    this.text = "";
    return text ? { line, text } : undefined;
  }
}

/** Parse a JSON object. A number that a double does not hold unchanged is refused. */
export function parseObject(text: string): Fields {
  const value = parseExactly(text);
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Error("not a JSON object");
  return value as Fields;
}

/** Parse JSON. A number that a double does not hold unchanged is refused, if the browser shows its digits. */
export function parseExactly(text: string): unknown {
  const check = (_name: string, value: unknown, context?: { source?: string }) => {
    if (typeof value === "number" && context?.source !== undefined && !isExact(context.source)) {
      throw new Error(`${context.source}: not a number that can be stored exactly`);
    }
    return value;
  };
  return JSON.parse(text, check as (name: string, value: unknown) => unknown) as unknown;
}
