import { useEffect, useState } from "preact/hooks";

import type { CatalogApi } from "../../api/methods";
import type { Item } from "../../api/types";
import { findTitle } from "../../format";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { useSession, useTask } from "../../state";

const CHOICES = 8;
const MAX_ID_BYTES = 256;

/** Find the item with this id, and the items whose texts are most similar to the words. */
async function search(api: CatalogApi, words: string, signal: AbortSignal): Promise<Item[]> {
  const byId = new TextEncoder().encode(words).length <= MAX_ID_BYTES ? api.batchGetItems([words], signal) : [];
  const byText = api.recommend({ text: words, limit: CHOICES, view: "ITEM_VIEW_FULL" }, signal);
  const [[exact], similar] = await Promise.all([byId, byText]);
  const items = (similar.value.recommendations ?? []).flatMap(({ item }) => (item ? [item] : []));
  return exact ? [exact, ...items.filter(({ itemId }) => itemId !== exact.itemId)] : items;
}

async function listFirst(api: CatalogApi, signal: AbortSignal): Promise<Item[]> {
  return (await api.listItems({ pageSize: CHOICES }, signal)).items ?? [];
}

export function ItemPicker({ onPick }: { onPick: (item: Item) => void }) {
  const { api } = useSession();
  const [words, setWords] = useState("");
  const task = useTask<Item[]>();
  useEffect(() => void task.run((signal) => listFirst(api, signal)), [api]);
  const submit = (event: Event) => {
    event.preventDefault();
    const trimmed = words.trim();
    void task.run((signal) => (trimmed ? search(api, trimmed, signal) : listFirst(api, signal)));
  };
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
      <ErrorNotice error={task.error} />
      {task.isRunning && !task.value && <Busy />}
      {task.value?.length === 0 && <Empty>The catalog has no item.</Empty>}
      <ul class="picker-list" aria-label="Items">
        {task.value?.map((item) => (
          <li key={item.itemId}>
            <button onClick={() => onPick(item)}>
              <span class="picker-title">{findTitle(item)}</span>
              <span class="id">{item.itemId}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
