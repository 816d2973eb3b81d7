import { useState } from "preact/hooks";

import type { OutlierList } from "../../api/types";
import { type FilterRow, buildFilter, describeFilter } from "../../filters";
import { findTitle, formatPlural, stripMarkup } from "../../format";
import { FilterBuilder } from "../../parts/filter_builder";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { useTitles } from "../../parts/titles";
import { buildLink } from "../../router";
import { useSession, useTask } from "../../state";

const LIMIT = 50;

/** The items that are least similar to their nearest neighbors. */
export function Outliers() {
  const { api } = useSession();
  const [rows, setRows] = useState<FilterRow[]>([]);
  const task = useTask<OutlierList>();
  const start = (event: Event) => {
    event.preventDefault();
    const filter = buildFilter(rows);
    void task.run((signal) => api.findOutliers({ limit: LIMIT, ...(filter ? { filter } : {}) }, signal));
  };
  return (
    <>
      <form class="card" onSubmit={start}>
        <p class="muted">Items that are like no other: often in the wrong catalog, or with a broken text.</p>
        <details>
          <summary>
            Filter <span class="muted">· {describeFilter(rows)}</span>
          </summary>
          <FilterBuilder rows={rows} onRows={setRows} />
        </details>
        <div class="actions">
          <button class="button button-main" disabled={task.isRunning}>
            Find outliers
          </button>
          {task.isRunning && <Busy>Comparing the items…</Busy>}
        </div>
      </form>
      <ErrorNotice error={task.error} />
      {task.value && <OutlierEntries list={task.value} />}
    </>
  );
}

function OutlierEntries({ list: { outliers = [], coverage = {} } }: { list: OutlierList }) {
  const { api } = useSession();
  const titleOf = useTitles(
    api,
    outliers.flatMap(({ nearestItemId }) => nearestItemId ?? []),
  );
  if (!outliers.length) return <Empty>No item to compare.</Empty>;
  return (
    <>
      <p class="summary" role="status">
        {formatPlural(outliers.length, "outlier")} among {formatPlural(coverage.examinedItemCount, "examined item")}
        {coverage.sampled ? ", which are a sample" : ""}, strongest first
      </p>
      <ul class="entries" aria-label="Outliers">
        {outliers.map(({ itemId, item, meanSimilarity = 0, nearestItemId }) => (
          <li key={itemId} class="entry">
            <div class="entry-name">
              <a href={buildLink(api.name, "items", { id: itemId })}>{findTitle(item, itemId)}</a>
              <span class="id">{itemId}</span>
            </div>
            <div class="excerpt-pair">
              <p class="excerpt" dir="auto">{stripMarkup(item?.text ?? "")}</p>
              {nearestItemId && <p class="hint">Nearest: {titleOf(nearestItemId)}</p>}
            </div>
            <div class="entry-side">
              <span class="tag" title="Mean similarity to the ten nearest items">
                {meanSimilarity.toFixed(3)}
              </span>
            </div>
          </li>
        ))}
      </ul>
    </>
  );
}
