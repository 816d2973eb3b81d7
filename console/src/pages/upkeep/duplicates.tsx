import { useEffect, useState } from "preact/hooks";

import type { CatalogApi } from "../../api/methods";
import type { Coverage, DuplicateGroup, Item } from "../../api/types";
import { type FilterRow, buildFilter, describeFilter } from "../../filters";
import { findTitle, formatPlural, listFacts, stripMarkup } from "../../format";
import { Progress } from "../../parts/bar";
import { Confirm } from "../../parts/dialog";
import { TextField } from "../../parts/field";
import { FilterBuilder } from "../../parts/filter_builder";
import { Empty, ErrorNotice, Notice } from "../../parts/notice";
import { useSession, useTask } from "../../state";

const SHOWN_GROUPS = 20;
const SHOWN_ITEMS = 20;

interface ShownGroup extends DuplicateGroup {
  /** Was the item deleted that the similarities are to? */
  lacksFirst?: boolean;
}

interface Search {
  groups: ShownGroup[];
  coverage: Coverage;
}

async function find(
  api: CatalogApi,
  minSimilarity: number,
  rows: FilterRow[],
  onProgress: (coverage: Coverage) => void,
  signal: AbortSignal,
): Promise<Search> {
  const filter = buildFilter(rows);
  const search: Search = { groups: [], coverage: {} };
  for await (const event of api.findDuplicates({ minSimilarity, ...(filter ? { filter } : {}) }, signal)) {
    if (event.progress?.coverage) onProgress(event.progress.coverage);
    if (event.groups) {
      search.groups.push(...(event.groups.groups ?? []));
      search.coverage = event.groups.coverage ?? {};
    }
  }
  return search;
}

/** Groups of items whose texts nearly say the same, with the choice of which to delete. */
export function Duplicates() {
  const { api } = useSession();
  const [minSimilarity, setMinSimilarity] = useState("0.8");
  const [rows, setRows] = useState<FilterRow[]>([]);
  const [coverage, setCoverage] = useState<Coverage>();
  const [count, setCount] = useState(SHOWN_GROUPS);
  const task = useTask<Search>();
  const groups = task.value?.groups ?? [];
  const start = (event: Event) => {
    event.preventDefault();
    setCoverage(undefined);
    setCount(SHOWN_GROUPS);
    task.set(undefined);
    void task.run((signal) => find(api, Number(minSimilarity), rows, setCoverage, signal));
  };
  return (
    <>
      <form class="card" onSubmit={start}>
        <p class="muted">Items whose texts are equal, or whose vectors are similar and whose texts have at least 30% of their phrases of three words in common.</p>
        <TextField
          label="Minimum similarity"
          type="number"
          value={minSimilarity}
          onValue={setMinSimilarity}
          required
          bounds={{ min: -1, max: 1, step: 0.01 }}
        />
        <details>
          <summary>
            Filter <span class="muted">· {describeFilter(rows)}</span>
          </summary>
          <FilterBuilder rows={rows} onRows={setRows} />
        </details>
        <div class="actions">
          <button class="button button-main" disabled={task.isRunning}>
            Find near-duplicates
          </button>
          {task.isRunning && (
            <button type="button" class="button" onClick={task.cancel}>
              Cancel
            </button>
          )}
        </div>
        {task.isRunning && <SearchProgress coverage={coverage} />}
      </form>
      <ErrorNotice error={task.error} />
      {task.value && <Summary search={task.value} />}
      {groups.slice(0, count).map((group) => (
        <Group
          key={group.items[0]?.itemId}
          group={group}
          onChange={(left) => task.value && task.set({ ...task.value, groups: replace(groups, group, left) })}
        />
      ))}
      {groups.length > count && (
        <div>
          <button class="button" onClick={() => setCount(count + SHOWN_GROUPS)}>
            Show more groups
          </button>
        </div>
      )}
    </>
  );
}

function replace(groups: ShownGroup[], group: ShownGroup, left: ShownGroup): ShownGroup[] {
  return groups.flatMap((known) => (known !== group ? known : left.items.length > 1 ? left : []));
}

function SearchProgress({ coverage = {} }: { coverage: Coverage | undefined }) {
  const total = Number(coverage.itemCount ?? 0);
  const examined = Number(coverage.examinedItemCount ?? 0);
  return <Progress share={total ? examined / total : 0} label={`${formatPlural(examined, "item")} examined`} />;
}

function Summary({ search: { groups, coverage } }: { search: Search }) {
  if (!groups.length) return <Empty>No near-duplicates.</Empty>;
  return (
    <>
      <p class="summary" role="status">
        {formatPlural(groups.length, "group")} among {formatPlural(coverage.examinedItemCount, "examined item")}
      </p>
      {coverage.sampled && (
        <Notice kind="warning">Only a sample of {formatPlural(coverage.itemCount, "item")} was examined.</Notice>
      )}
    </>
  );
}

function Group({ group, onChange }: { group: ShownGroup; onChange: (left: ShownGroup) => void }) {
  const { api, scopes, reload } = useSession();
  const ids = group.items.slice(0, SHOWN_ITEMS).map(({ itemId }) => itemId);
  const items = useTask<Item[]>();
  const [marked, setMarked] = useState<string[]>([]);
  const [isDeleting, setDeleting] = useState(false);
  useEffect(() => void items.run((signal) => api.batchGetItems(ids, signal)), [ids.join("\n")]);
  const describeSimilarity = (index: number) =>
    index === 0 ? "created first" : (group.items[index]?.similarity ?? 0).toFixed(3);
  const mark = (id: string, isMarked: boolean) =>
    setMarked(isMarked ? [...marked, id] : marked.filter((known) => known !== id));
  return (
    <section class="card" aria-label={`Group of ${group.items.length}`}>
      <div class="list-head">
        <h2>{formatPlural(group.items.length, "item")}</h2>
        {scopes.write && (
          <button
            class="button button-small button-danger"
            disabled={!marked.length || marked.length === group.items.length}
            onClick={() => setDeleting(true)}
          >
            Delete {formatPlural(marked.length, "marked item")}
          </button>
        )}
      </div>
      <ErrorNotice error={items.error} />
      <ul class="duplicates">
        {ids.map((id, index) => (
          <DuplicateEntry
            key={id}
            id={id}
            item={items.value?.find(({ itemId }) => itemId === id)}
            similarity={group.lacksFirst ? undefined : describeSimilarity(index)}
            isMarked={marked.includes(id)}
            onMark={scopes.write ? (isMarked) => mark(id, isMarked) : undefined}
          />
        ))}
      </ul>
      {group.lacksFirst && (
        <p class="hint">The item that these were compared with is deleted. Search again for their similarities.</p>
      )}
      {(group.truncated || group.items.length > SHOWN_ITEMS) && <p class="hint">The group has more items than these.</p>}
      {isDeleting && (
        <Confirm
          title="Delete the marked items"
          verb={`Delete ${formatPlural(marked.length, "item")}`}
          work={async () => void (await api.batchDelete({ ids: { itemIds: marked } }))}
          onClose={() => setDeleting(false)}
          onDone={() => {
            setDeleting(false);
            reload();
            setMarked([]);
            onChange({
              ...group,
              items: group.items.filter(({ itemId }) => !marked.includes(itemId)),
              lacksFirst: group.lacksFirst || marked.includes(ids[0] ?? ""),
            });
          }}
        >
          <p>They are deleted for good:</p>
          <ul class="bullets">
            {marked.map((id) => (
              <li key={id} class="id">
                {id}
              </li>
            ))}
          </ul>
        </Confirm>
      )}
    </section>
  );
}

interface DuplicateEntryProps {
  id: string;
  item: Item | undefined;
  /** To the item that was created first; undefined if it is not known. */
  similarity: string | undefined;
  isMarked: boolean;
  onMark: ((isMarked: boolean) => void) | undefined;
}

function DuplicateEntry({ id, item, similarity, isMarked, onMark }: DuplicateEntryProps) {
  return (
    <li class={isMarked ? "duplicate is-marked" : "duplicate"}>
      <div class="duplicate-head">
        <h3 dir="auto">{findTitle(item, id)}</h3>
        {similarity !== undefined && <span class="tag">{similarity}</span>}
      </div>
      <p class="id">{id}</p>
      {item && <p class="excerpt" dir="auto">{stripMarkup(item.text)}</p>}
      <dl class="facts">
        {listFacts(item, 4).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd dir="auto">{value}</dd>
          </div>
        ))}
      </dl>
      {onMark && (
        <label class="check">
          <input type="checkbox" checked={isMarked} onChange={(event) => onMark(event.currentTarget.checked)} />
          <span>
            Mark to delete<span class="visually-hidden">: {id}</span>
          </span>
        </label>
      )}
    </li>
  );
}
