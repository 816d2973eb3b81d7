import { useState } from "preact/hooks";

import type { LikedItem, Preference, User } from "../../api/types";
import { Confirm } from "../../parts/dialog";
import { TextField, countRows } from "../../parts/field";
import { Icon } from "../../parts/icon";
import { useSession } from "../../state";

interface Row {
  value: string;
  weight: string;
}

function toRows(values: [string, number | undefined][]): Row[] {
  return values.map(([value, weight]) => ({ value, weight: String(weight ?? 1) }));
}

function filled(rows: Row[]): Row[] {
  return rows.filter(({ value }) => value.trim());
}

interface UserEditorProps {
  user: User;
  onClose: () => void;
  onSaved: (user: User) => void;
}

/** The preferences and liked items of a user, who is new if there is no sequence. */
export function UserEditor({ user, onClose, onSaved }: UserEditorProps) {
  const { api } = useSession();
  const isNew = user.sequence === undefined;
  const [userId, setUserId] = useState(user.userId);
  const [texts, setTexts] = useState(() => toRows((user.preferences ?? []).map(({ text, weight }) => [text, weight])));
  const [likes, setLikes] = useState(() =>
    toRows((user.likedItems ?? []).map(({ itemId, weight }) => [itemId, weight])),
  );
  const save = async () => {
    if (!userId.trim()) throw new Error("The user needs an id.");
    const preferences: Preference[] = filled(texts).map(({ value, weight }) => ({ text: value, weight: Number(weight) }));
    const likedItems: LikedItem[] = filled(likes).map(({ value, weight }) => ({
      itemId: value.trim(),
      weight: Number(weight),
    }));
    const stored = await api.storeUser({
      userId: userId.trim(),
      preferences,
      likedItems,
      ...(user.sequence ? { sequence: user.sequence } : {}),
    });
    onSaved(stored);
  };
  return (
    <Confirm
      title={isNew ? "New user" : `Edit ${user.userId}`}
      verb="Store"
      isDangerous={false}
      work={save}
      onClose={onClose}
      onDone={() => undefined}
    >
      {isNew && <TextField label="Id" value={userId} onValue={setUserId} required />}
      <Rows legend="Preferences" noun="preference" rows={texts} onRows={setTexts} placeholder="a text" isText />
      <Rows legend="Liked items, oldest first" noun="liked item" rows={likes} onRows={setLikes} placeholder="id of an item" />
      <p class="hint">Weights count relative to each other. A negative weight is a dislike.</p>
    </Confirm>
  );
}

interface RowsProps {
  legend: string;
  noun: string;
  rows: Row[];
  onRows: (rows: Row[]) => void;
  placeholder: string;
  /** May values have several lines? */
  isText?: boolean;
}

function Rows({ legend, noun, rows, onRows, placeholder, isText = false }: RowsProps) {
  const change = (index: number, part: Partial<Row>) =>
    onRows(rows.map((row, place) => (place === index ? { ...row, ...part } : row)));
  return (
    <fieldset class="filter">
      <legend>{legend}</legend>
      {rows.map(({ value, weight }, index) => (
        <div class="text-row" key={index}>
          {isText ? (
            <textarea
              dir="auto"
              aria-label={`Value of ${noun} ${index + 1}`}
              placeholder={placeholder}
              rows={countRows(value)}
              value={value}
              onInput={(event) => change(index, { value: event.currentTarget.value })}
            />
          ) : (
            <input
              dir="auto"
              aria-label={`Value of ${noun} ${index + 1}`}
              placeholder={placeholder}
              value={value}
              onInput={(event) => change(index, { value: event.currentTarget.value })}
            />
          )}
          <input
            type="number"
            step="any"
            aria-label={`Weight of ${noun} ${index + 1}`}
            value={weight}
            onInput={(event) => change(index, { weight: event.currentTarget.value })}
          />
          <button
            type="button"
            class="button button-plain button-icon"
            aria-label={`Remove ${noun} ${index + 1}`}
            onClick={() => onRows(rows.filter((_, place) => place !== index))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <button
        type="button"
        class="button button-small"
        onClick={() => onRows([...rows, { value: "", weight: "1" }])}
      >
        Add a {noun}
      </button>
    </fieldset>
  );
}
