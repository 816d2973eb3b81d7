import { useEffect, useState } from "preact/hooks";

import type { CatalogApi } from "../../api/methods";
import type { Item } from "../../api/types";
import { findTitle } from "../../format";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { useSession, useTask } from "../../state";

const CHOICES = 8;
const MAX_ID_BYTES = 256;

interface Found {
  items: Item[];
  /** Why the texts could not be compared, such as an outage of the embedding provider. */
  error?: unknown;
}

/** Find the item with this id, and the items whose texts are most similar to the words. */
async function search(api: CatalogApi, words: string, signal: AbortSignal): Promise<Found> {
  const similar = searchTexts(api, words, signal);
  const hasIdLength = new TextEncoder().encode(words).length <= MAX_ID_BYTES;
  const [exact] = hasIdLength ? await api.batchGetItems([words], signal) : [];
  const { items, error } = await similar;
  return exact ? { items: [exact, ...items.filter(({ itemId }) => itemId !== exact.itemId)], error } : { items, error };
}

async function searchTexts(api: CatalogApi, words: string, signal: AbortSignal): Promise<Found> {
  try {
    const { value } = await api.recommend({ text: words, limit: CHOICES, view: "ITEM_VIEW_FULL" }, signal);
    return { items: (value.recommendations ?? []).flatMap(({ item }) => item ?? []) };
  } catch (error) {
    return { items: [], error };
  }
}

async function listFirst(api: CatalogApi, signal: AbortSignal): Promise<Found> {
  return { items: (await api.listItems({ pageSize: CHOICES }, signal)).items ?? [] };
}

export function ItemPicker({ onPick }: { onPick: (item: Item) => void }) {
  const { api } = useSession();
  const [words, setWords] = useState("");
  const task = useTask<Found>();
  const find = () => {
    const trimmed = words.trim();
    void task.run((signal) => (trimmed ? search(api, trimmed, signal) : listFirst(api, signal)));
  };
  useEffect(find, [api]);
  const submit = (event: Event) => {
    event.preventDefault();
    find();
  };
  const error = task.error ?? task.value?.error;
  return (
    <div class="picker">
      <form class="picker-search" role="search" onSubmit={submit}>
        <input
          type="search"
          aria-label="Search items by id or text"
          placeholder="Search by id or by words of a text"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
        />
        <button class="button">Search</button>
      </form>
      <ErrorNotice error={error} onRetry={find} />
      {task.isRunning && !task.value && <Busy />}
      {task.value?.items.length === 0 && !error ? <Empty>The catalog has no item.</Empty> : null}
      <ul class="picker-list" aria-label="Items">
        {task.value?.items.map((item) => (
          <li key={item.itemId}>
            <button onClick={() => onPick(item)}>
              <span class="picker-title" dir="auto">
                {findTitle(item)}
              </span>
              <span class="id">{item.itemId}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
