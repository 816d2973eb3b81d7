import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  children: (id: string, hintId: string | undefined) => ComponentChildren;
}

/** A control with its label above it and a hint below it. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  const hintId = hint ? `${id}-hint` : undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children(id, hintId)}
      {hint && (
        <p class="hint" id={hintId}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  hint?: ComponentChildren;
  type?: "text" | "number" | "password" | "search";
  placeholder?: string;
  required?: boolean;
  lines?: number;
  /** Bounds of a number. */
  bounds?: { min?: number; max?: number; step?: number | "any" };
}

export function TextField(props: TextFieldProps) {
  const { label, value, onValue, hint, type = "text", placeholder, required, lines, bounds } = props;
  const shared = { value, required: required ?? false, placeholder: placeholder ?? "" };
  return (
    <Field label={label} hint={hint}>
      {(id, hintId) =>
        lines ? (
          <textarea
            {...shared}
            id={id}
            dir="auto"
            rows={lines}
            aria-describedby={hintId}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
        ) : (
          <input
            {...shared}
            {...bounds}
            id={id}
            dir="auto"
            type={type as "number"}
            autocomplete="off"
            aria-describedby={hintId}
            onInput={(event) => onValue(event.currentTarget.value)}
          />
        )
      }
    </Field>
  );
}

const MAX_ROWS = 8;

/** Return how many rows show a text, up to a few. */
export function countRows(text: string): number {
  return Math.min(MAX_ROWS, text.split("\n").length);
}

interface SelectFieldProps<V extends string> {
  label: string;
  value: V;
  options: Record<V, string>;
  onValue: (value: V) => void;
  hint?: ComponentChildren;
}

export function SelectField<V extends string>({ label, value, options, onValue, hint }: SelectFieldProps<V>) {
  return (
    <Field label={label} hint={hint}>
      {(id, hintId) => (
        <select
          id={id}
          value={value}
          aria-describedby={hintId}
          onChange={(event) => onValue(event.currentTarget.value as V)}
        >
          {Object.entries<string>(options).map(([option, text]) => (
            <option key={option} value={option}>
              {text}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

interface RangeFieldProps {
  label: string;
  value: number;
  max: number;
  step: number;
  onValue: (value: number) => void;
  hint?: ComponentChildren;
}

/** A slider, which reports a value once it is released. */
export function RangeField({ label, value, max, step, onValue, hint }: RangeFieldProps) {
  return (
    <Field label={`${label}: ${value}`} hint={hint}>
      {(id, hintId) => (
        <input
          id={id}
          type="range"
          min={0}
          max={max}
          step={step}
          value={value}
          aria-describedby={hintId}
          onChange={(event) => onValue(Number(event.currentTarget.value))}
        />
      )}
    </Field>
  );
}

interface CheckFieldProps {
  label: string;
  checked: boolean;
  disabled?: boolean;
  onValue: (checked: boolean) => void;
}

export function CheckField({ label, checked, disabled = false, onValue }: CheckFieldProps) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onValue(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

interface ChoiceProps<V extends string> {
  legend: string;
  value: V;
  options: Record<V, string>;
  onValue: (value: V) => void;
}

/** Radio buttons that look like one bar of buttons. */
export function Choice<V extends string>({ legend, value, options, onValue }: ChoiceProps<V>) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="visually-hidden">{legend}</legend>
      {Object.entries<string>(options).map(([option, text]) => (
        <label key={option} class={option === value ? "chosen" : ""}>
          <input
            type="radio"
            class="visually-hidden"
            name={name}
            value={option}
            checked={option === value}
            onChange={() => onValue(option as V)}
          />
          {text}
        </label>
      ))}
    </fieldset>
  );
}
