import { EMPTY_ROW, type FilterRow, type Group, type Test, TESTS, findProblem, needsValue } from "../filters";
import { Icon } from "./icon";

const GROUPS: Record<Group, string> = { all: "Must", any: "Any", none: "Must not" };

interface FilterBuilderProps {
  rows: FilterRow[];
  onRows: (rows: FilterRow[]) => void;
}

/** Rows of conditions on attributes. */
export function FilterBuilder({ rows, onRows }: FilterBuilderProps) {
  const change = (index: number, part: Partial<FilterRow>) =>
    onRows(rows.map((row, place) => (place === index ? { ...row, ...part } : row)));
  return (
    <fieldset class="filter">
      <legend>Filter</legend>
      {rows.map((row, index) => (
        <ConditionRow
          key={index}
          row={row}
          number={index + 1}
          onChange={(part) => change(index, part)}
          onRemove={() => onRows(rows.filter((_, place) => place !== index))}
        />
      ))}
      <button type="button" class="button button-small" onClick={() => onRows([...rows, EMPTY_ROW])}>
        Add a condition
      </button>
      {rows.length > 0 && (
        <p class="hint">
          Separate several values by commas. Put a number in quotation marks to compare it as a string. Dots lead into
          objects, as in <code>size.width</code>.
        </p>
      )}
    </fieldset>
  );
}

interface ConditionRowProps {
  row: FilterRow;
  number: number;
  onChange: (part: Partial<FilterRow>) => void;
  onRemove: () => void;
}

function ConditionRow({ row, number, onChange, onRemove }: ConditionRowProps) {
  const name = (part: string) => `${part} of condition ${number}`;
  const problem = findProblem(row);
  return (
    <div class="filter-row">
      <select
        aria-label={name("Group")}
        value={row.group}
        onChange={(event) => onChange({ group: event.currentTarget.value as Group })}
      >
        {Object.entries(GROUPS).map(([group, text]) => (
          <option key={group} value={group}>
            {text}
          </option>
        ))}
      </select>
      <input
        dir="auto"
        aria-label={name("Attribute")}
        placeholder="attribute"
        value={row.attribute}
        onInput={(event) => onChange({ attribute: event.currentTarget.value })}
      />
      <select
        aria-label={name("Test")}
        value={row.test}
        onChange={(event) => onChange({ test: event.currentTarget.value as Test })}
      >
        {Object.entries(TESTS).map(([test, text]) => (
          <option key={test} value={test}>
            {text}
          </option>
        ))}
      </select>
      {needsValue(row.test) && (
        <input
          dir="auto"
          aria-label={name("Value")}
          placeholder="value"
          value={row.value}
          aria-invalid={problem !== undefined}
          onInput={(event) => onChange({ value: event.currentTarget.value })}
        />
      )}
      <button
        type="button"
        class="button button-plain button-icon"
        aria-label={`Remove condition ${number}`}
        onClick={onRemove}
      >
        <Icon name="close" />
      </button>
      {problem && (
        <p class="filter-problem" role="alert">
          {problem}
        </p>
      )}
    </div>
  );
}
