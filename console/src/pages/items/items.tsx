import { useEffect, useState } from "preact/hooks";

import type { Filter, ItemList } from "../../api/types";
import { type FilterRow, buildFilter } from "../../filters";
import { findTitle, formatPlural, listFacts } from "../../format";
import { Confirm } from "../../parts/dialog";
import { FilterBuilder } from "../../parts/filter_builder";
import { PageHead } from "../../parts/layout";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { Pager } from "../../parts/pager";
import { buildLink, useRoute } from "../../router";
import { useScrollUp, useSession, useSettled, useTask } from "../../state";
import { UploadDialog } from "../../upload/upload_dialog";
import { ItemDialog } from "./item_dialog";
import { NewItemDialog } from "./new_item_dialog";

const PAGE_SIZE = 50;
const TYPING_PAUSE_MS = 300;

/** A page of the list with the filter that it is for, which can be older than the one being typed. */
interface Listing {
  list: ItemList;
  filter: Filter | undefined;
}

type Open = "upload" | "new" | "delete" | undefined;

export function Items() {
  const { api, scopes, reload } = useSession();
  const route = useRoute();
  const [rows, setRows] = useState<FilterRow[]>([]);
  const [tokens, setTokens] = useState<string[]>([]);
  const [opened, setOpened] = useState<Open>();
  const task = useTask<Listing>();
  const filter = useSettled(buildFilter(rows), TYPING_PAUSE_MS);
  const pageToken = tokens.at(-1) ?? "";
  useScrollUp(pageToken);
  const load = () =>
    void task.run(async (signal) => {
      const page = { pageSize: PAGE_SIZE, ...(pageToken ? { pageToken } : {}), ...(filter ? { filter } : {}) };
      return { list: await api.listItems(page, signal), filter };
    });
  useEffect(load, [api, pageToken, JSON.stringify(filter)]);
  const openedId = route.query.get("id");
  const { list, filter: listed } = task.value ?? {};
  const total = list?.totalSize;
  const change = () => {
    load();
    reload();
  };
  const close = () => {
    setOpened(undefined);
    change();
  };
  return (
    <>
      <PageHead title="Items">
        {scopes.write && (
          <>
            <button class="button" onClick={() => setOpened("new")}>
              New item
            </button>
            <button class="button button-main" onClick={() => setOpened("upload")}>
              Upload a file
            </button>
          </>
        )}
      </PageHead>
      <section class="card">
        <FilterBuilder
          rows={rows}
          onRows={(next) => {
            setRows(next);
            setTokens([]);
          }}
        />
      </section>
      <ErrorNotice error={task.error} onRetry={load} />
      <div class="list-head">
        <p class="summary" role="status">
          {list ? formatPlural(total, "item") : ""}{" "}
          {listed ? `${Number(total ?? 0) === 1 ? "matches" : "match"} the filter` : ""}
        </p>
        {listed && scopes.write && Number(total ?? 0) > 0 && (
          <button class="button button-small button-danger" onClick={() => setOpened("delete")}>
            Delete the matching items
          </button>
        )}
      </div>
      {task.isRunning && !list && <Busy />}
      {list && <ItemTable list={list} catalog={api.name} />}
      <Pager
        page={tokens.length + 1}
        hasNext={Boolean(list?.nextPageToken)}
        onPrevious={() => setTokens(tokens.slice(0, -1))}
        onNext={() => setTokens([...tokens, list?.nextPageToken ?? ""])}
      />
      {openedId && (
        <ItemDialog
          key={openedId}
          itemId={openedId}
          onClose={() => {
            location.hash = buildLink(api.name, "items");
          }}
          onChange={change}
        />
      )}
      {opened === "upload" && <UploadDialog initialKind="items" onClose={close} />}
      {opened === "new" && <NewItemDialog onClose={close} />}
      {opened === "delete" && listed && (
        <Confirm
          title="Delete the matching items"
          verb={`Delete ${formatPlural(total, "item")}`}
          work={async () => {
            await api.batchDelete({ filter: listed });
            setTokens([]);
          }}
          onClose={close}
        >
          <p>
            The filter matched {formatPlural(total, "item")} when the list was loaded. All items that match it when you
            confirm are deleted for good, also those that were stored since.
          </p>
        </Confirm>
      )}
    </>
  );
}

function ItemTable({ list, catalog }: { list: ItemList; catalog: string }) {
  const items = list.items ?? [];
  if (!items.length) return <Empty>No item.</Empty>;
  return (
    <ul class="entries" aria-label="Items">
      {items.map((item) => (
        <li key={item.itemId} class="entry">
          <div class="entry-name">
            <a href={buildLink(catalog, "items", { id: item.itemId })} dir="auto">
              {findTitle(item)}
            </a>
            <span class="id">{item.itemId}</span>
          </div>
          <dl class="facts">
            {listFacts(item, 3).map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd dir="auto">{value}</dd>
              </div>
            ))}
          </dl>
          <div class="entry-side">
            {item.state === "ITEM_STATE_PENDING" && <span class="tag tag-warning">pending</span>}
            <a href={buildLink(catalog, "explore", { item: item.itemId })}>Explore</a>
          </div>
        </li>
      ))}
    </ul>
  );
}
