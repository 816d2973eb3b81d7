import { useState } from "preact/hooks";

import { ApiError, NOT_FOUND } from "../../api/errors";
import type { Item, User } from "../../api/types";
import { findTitle, stripMarkup } from "../../format";
import { Choice } from "../../parts/field";
import { Icon } from "../../parts/icon";
import { ErrorNotice } from "../../parts/notice";
import { useLoaded, useSession } from "../../state";
import { ItemPicker } from "./item_picker";
import { DEFAULT_SETTINGS, type Source, type SourceKind, type WeightedText, buildRequest } from "./request";
import { UserPicker, describeUser } from "./user_picker";

const KINDS: Record<SourceKind, string> = { item: "Item", user: "User", texts: "Texts", popular: "Popular" };

const EMPTY_SOURCES: Record<SourceKind, Source> = {
  item: { kind: "item", itemId: "" },
  user: { kind: "user", userId: "" },
  texts: { kind: "texts", texts: [{ text: "", weight: "1" }] },
  popular: { kind: "popular" },
};

interface SourcePanelProps {
  source: Source;
  onSource: (source: Source) => void;
  onSubmit: () => void;
}

/** The choice of what to recommend items for. */
export function SourcePanel({ source, onSource, onSubmit }: SourcePanelProps) {
  return (
    <section class="card source" aria-label="Source">
      <Choice
        legend="Recommend for"
        value={source.kind}
        options={KINDS}
        onValue={(kind) => onSource(EMPTY_SOURCES[kind])}
      />
      {source.kind === "item" &&
        (source.itemId ? (
          <ChosenItem itemId={source.itemId} onChange={() => onSource(EMPTY_SOURCES.item)} />
        ) : (
          <ItemPicker onPick={({ itemId }) => onSource({ kind: "item", itemId })} />
        ))}
      {source.kind === "user" &&
        (source.userId ? (
          <ChosenUser userId={source.userId} onChange={() => onSource(EMPTY_SOURCES.user)} />
        ) : (
          <UserPicker onPick={(userId) => onSource({ kind: "user", userId })} />
        ))}
      {source.kind === "texts" && (
        <Texts texts={source.texts} onTexts={(texts) => onSource({ kind: "texts", texts })} onSubmit={onSubmit} />
      )}
      {source.kind === "popular" && (
        <p class="muted">The items with the most interactions, once the catalog has learned from them.</p>
      )}
    </section>
  );
}

function ChosenItem({ itemId, onChange }: { itemId: string; onChange: () => void }) {
  const { api } = useSession();
  const task = useLoaded<Item>((signal) => api.getItem(itemId, signal), [api, itemId]);
  return (
    <div class="chosen-source">
      <div>
        <h2 dir="auto">{findTitle(task.value, itemId)}</h2>
        <p class="id">{itemId}</p>
        {task.value && <p class="excerpt" dir="auto">{stripMarkup(task.value.text)}</p>}
        <ErrorNotice error={task.error} onRetry={task.reload} />
      </div>
      <button class="button button-small" onClick={onChange}>
        Choose another item
      </button>
    </div>
  );
}

function ChosenUser({ userId, onChange }: { userId: string; onChange: () => void }) {
  const { api } = useSession();
  const task = useLoaded<User>((signal) => api.getUser(userId, signal), [api, userId]);
  // A user who only has interactions is not stored, which is no error here.
  const isMissing = task.error instanceof ApiError && task.error.code === NOT_FOUND;
  return (
    <div class="chosen-source">
      <div>
        <h2>{userId}</h2>
        <p class="muted" dir="auto">
          {task.value ? describeUser(task.value) : isMissing ? "Not stored; known by interactions, if at all." : ""}
        </p>
        {!isMissing && <ErrorNotice error={task.error} onRetry={task.reload} />}
      </div>
      <button class="button button-small" onClick={onChange}>
        Choose another user
      </button>
    </div>
  );
}

interface TextsProps {
  texts: WeightedText[];
  onTexts: (texts: WeightedText[]) => void;
  onSubmit: () => void;
}

function Texts({ texts, onTexts, onSubmit }: TextsProps) {
  const [isIncomplete, setIncomplete] = useState(false);
  const change = (index: number, part: Partial<WeightedText>) =>
    onTexts(texts.map((row, place) => (place === index ? { ...row, ...part } : row)));
  return (
    <form
      class="texts"
      onSubmit={(event) => {
        event.preventDefault();
        const isComplete = buildRequest({ kind: "texts", texts }, DEFAULT_SETTINGS) !== undefined;
        setIncomplete(!isComplete);
        if (isComplete) onSubmit();
      }}
    >
      {texts.map(({ text, weight }, index) => (
        <div class="text-row" key={index}>
          <input
            dir="auto"
            aria-label={`Text ${index + 1}`}
            placeholder="a text, such as: quiet novels about the sea"
            value={text}
            onInput={(event) => change(index, { text: event.currentTarget.value })}
          />
          <input
            class="weight"
            type="number"
            step="any"
            min={-1000}
            max={1000}
            aria-label={`Weight of text ${index + 1}`}
            value={weight}
            onInput={(event) => change(index, { weight: event.currentTarget.value })}
          />
          <button
            type="button"
            class="button button-plain button-icon"
            aria-label={`Remove text ${index + 1}`}
            disabled={texts.length === 1}
            onClick={() => onTexts(texts.filter((_, place) => place !== index))}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <div class="actions">
        <button class="button button-main">Recommend</button>
        <button type="button" class="button" onClick={() => onTexts([...texts, { text: "", weight: "1" }])}>
          Add a text
        </button>
      </div>
      {isIncomplete && <ErrorNotice error={new Error("Type a text with a weight other than 0.")} />}
      <p class="hint">A negative weight means: unlike this text. New texts are embedded, which a provider may charge.</p>
    </form>
  );
}
