import { useState } from "preact/hooks";

import type { Attributes, Json } from "../../api/types";
import { sortAttributes } from "../../format";
import { countRows } from "../../parts/field";
import { Icon } from "../../parts/icon";
import { ErrorNotice } from "../../parts/notice";

interface Row {
  name: string;
  value: string;
}

interface AttributeEditorProps {
  attributes: Attributes;
  onSave: (attributes: Attributes) => Promise<void>;
  onCancel: () => void;
}

/** Rows of names and values. Values are JSON, and strings may leave out their quotation marks. */
export function AttributeEditor({ attributes, onSave, onCancel }: AttributeEditorProps) {
  const [rows, setRows] = useState<Row[]>(() =>
    sortAttributes(attributes).map(([name, value]) => ({ name, value: toText(value) })),
  );
  const [error, setError] = useState<unknown>();
  const change = (index: number, part: Partial<Row>) =>
    setRows(rows.map((row, place) => (place === index ? { ...row, ...part } : row)));
  const save = async (event: Event) => {
    event.preventDefault();
    setError(undefined);
    try {
      await onSave(toAttributes(rows));
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <form class="stack" onSubmit={(event) => void save(event)}>
      {rows.map((row, index) => (
        <div class="attribute-row" key={index}>
          <input
            dir="auto"
            aria-label={`Name of attribute ${index + 1}`}
            value={row.name}
            placeholder="name"
            onInput={(event) => change(index, { name: event.currentTarget.value })}
          />
          <textarea
            dir="auto"
            aria-label={`Value of attribute ${index + 1}`}
            rows={countRows(row.value)}
            value={row.value}
            placeholder="value"
            onInput={(event) => change(index, { value: event.currentTarget.value })}
          />
          <button
            type="button"
            class="button button-plain button-icon"
            aria-label={`Remove attribute ${index + 1}`}
            onClick={() => setRows(rows.filter((_, place) => place !== index))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <div>
        <button
          type="button"
          class="button button-small"
          onClick={() => setRows([...rows, { name: "", value: "" }])}
        >
          Add an attribute
        </button>
      </div>
      <p class="hint">
        Values are JSON: 12, true, ["a", "b"]. Anything else is a string; put a number in quotation marks to store it as
        a string.
      </p>
      <ErrorNotice error={error} />
      <div class="actions">
        <button class="button button-main">Save</button>
        <button type="button" class="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </form>
  );
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return text;
  }
}

// Characters that a text area changes or does not show. It keeps line feeds and tabs.
const CHANGED = /[^\P{Cc}\n\t]/u;

/** Return the text of a value that `parse` reads as the same value. */
function toText(value: Json): string {
  const isPlain = typeof value === "string" && parse(value) === value && !CHANGED.test(value);
  return isPlain ? value : JSON.stringify(value);
}

function toAttributes(rows: Row[]): Attributes {
  const names = rows.map(({ name }) => name);
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (names.includes("")) throw new Error("Every attribute needs a name.");
  if (repeated !== undefined) throw new Error(`The attribute ${repeated} occurs twice.`);
  return Object.fromEntries(rows.map(({ name, value }) => [name, parse(value)]));
}
