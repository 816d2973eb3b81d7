import { useEffect, useState } from "preact/hooks";

import type { Item } from "../../api/types";
import { findTitle, listFacts, stripMarkup } from "../../format";
import { useSession } from "../../state";

// The pointer passes over many points on its way; only where it rests is an item loaded.
const REST_MS = 90;

/** The item below the pointer. */
export function ItemTip({ itemId }: { itemId: string | undefined }) {
  const { api } = useSession();
  const [item, setItem] = useState<Item>();
  useEffect(() => {
    if (!itemId) return;
    const controller = new AbortController();
    const timer = setTimeout(
      // An item that is gone since the map was made has its id only.
      () => void api.getItem(itemId, controller.signal).then(setItem, () => undefined),
      REST_MS,
    );
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [api, itemId]);
  if (!itemId) return null;
  const shown = item?.itemId === itemId ? item : undefined;
  return (
    <div class="map-tip card" role="status">
      <h3 dir="auto">{findTitle(shown, itemId)}</h3>
      <p class="id">{itemId}</p>
      {shown && <p class="excerpt" dir="auto">{stripMarkup(shown.text)}</p>}
      {shown && (
        <dl class="facts">
          {listFacts(shown, 3).map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd dir="auto">{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
