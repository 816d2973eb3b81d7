import { useEffect, useState } from "preact/hooks";

import type { CatalogApi } from "../api/methods";
import { findTitle } from "../format";

const MAX_IDS = 1000; // the limit of BatchGetItems

/** Load the titles of items by id. Ids without an item keep their id as title. */
export function useTitles(api: CatalogApi, ids: string[]): (id: string) => string {
  const [titles, setTitles] = useState(new Map<string, string>());
  const missing = [...new Set(ids)].filter((id) => !titles.has(id)).slice(0, MAX_IDS);
  useEffect(() => {
    if (!missing.length) return;
    const controller = new AbortController();
    api
      .batchGetItems(missing, controller.signal)
      .then((items) => {
        const loaded = new Map(missing.map((id) => [id, id]));
        for (const item of items) loaded.set(item.itemId, findTitle(item, item.itemId));
        setTitles((known) => new Map([...known, ...loaded]));
      })
      // Titles only adorn a page that shows ids as well, and errors of the page's own calls.
      .catch(() => undefined);
    return () => controller.abort();
  }, [missing.join("\n")]);
  return (id) => titles.get(id) ?? id;
}
