// As in JSON, but codes such as 00123 and 2E7 stay text: no leading zero, and exponents with a sign.
const CELL = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]\d+)?$/;
const PARTS = /^(-?)(\d+)(?:\.(\d+))?(?:e([-+]?\d+))?$/i;

/** Longer numbers have more digits than a double. */
const MAX_LETTERS = 40;

/** Is a cell a number of JSON that a double holds unchanged? */
export function isNumberCell(cell: string): boolean {
  return CELL.test(cell) && isExact(cell);
}

/** Does a double hold a number: the same integer, or the same decimals? */
export function isExact(text: string): boolean {
  if (text.length > MAX_LETTERS) return false;
  const digits = canonicalize(text);
  return digits !== undefined && digits === canonicalize(String(Number(text)));
}

/** Write a number in one way: its digits without zeros at both ends, and an exponent. */
function canonicalize(text: string): string | undefined {
  const [, sign = "", whole = "", fraction = "", exponent = "0"] = PARTS.exec(text) ?? [];
  if (!whole) return undefined;
  const digits = (whole + fraction).replace(/0+$/, "");
  const significant = digits.replace(/^0+/, "");
  if (!significant) return "0";
  return `${sign}${significant}e${Number(exponent) + whole.length - digits.length}`;
}
