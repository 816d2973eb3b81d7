import { useState } from "preact/hooks";

import type { Cluster } from "../../api/types";
import { formatCount, formatPlural } from "../../format";
import { useTitles } from "../../parts/titles";
import { buildLink } from "../../router";
import { useSession } from "../../state";
import { type Grouping, pickColor, toHex } from "./colors";

const SHOWN_ITEMS = 50;

function Swatch({ index }: { index: number }) {
  return (
    <svg class="swatch" viewBox="0 0 10 10" aria-hidden="true" focusable="false">
      <circle cx="5" cy="5" r="5" fill={toHex(pickColor(index))} />
    </svg>
  );
}

interface FocusProps {
  focus: number | undefined;
  onFocus: (index: number | undefined) => void;
}

/** The clusters as a list: what the map shows, for keyboards and screen readers as well. */
export function ClusterList({ clusters, focus, onFocus }: FocusProps & { clusters: Cluster[] }) {
  const { api } = useSession();
  const titleOf = useTitles(
    api,
    clusters.flatMap(({ representatives = [] }) => representatives.map(({ itemId }) => itemId)),
  );
  return (
    <>
      <h2>{formatPlural(clusters.length, "cluster")}</h2>
      <ul class="groups" aria-label="Clusters">
        {clusters.map(({ keywords = [], itemCount, representatives = [], cohesion = 0 }, index) => (
          <li key={index}>
            <button
              class="group"
              aria-expanded={focus === index}
              onClick={() => onFocus(focus === index ? undefined : index)}
            >
              <Swatch index={index} />
              <span class="group-name">{keywords.slice(0, 5).join(", ") || "no keywords"}</span>
              <span class="muted">{formatCount(itemCount)}</span>
            </button>
            {focus === index && (
              <div class="group-body">
                <p class="muted">Mean similarity to the center: {cohesion.toFixed(2)}. Nearest to it:</p>
                <ul>
                  {representatives.map(({ itemId }) => (
                    <li key={itemId}>
                      <a href={buildLink(api.name, "explore", { item: itemId })}>{titleOf(itemId)}</a>
                    </li>
                  ))}
                </ul>
              </div>
            )}
          </li>
        ))}
      </ul>
    </>
  );
}

export function ValueList({ grouping, attribute, focus, onFocus }: FocusProps & { grouping: Grouping; attribute: string }) {
  return (
    <>
      <h2>Values of {attribute}</h2>
      {grouping.values.length === 0 && <p class="muted">No item on the map has this attribute.</p>}
      <ul class="groups" aria-label="Values">
        {grouping.values.map(({ value, count }, index) => (
          <li key={value}>
            <button
              class="group"
              aria-pressed={focus === index}
              onClick={() => onFocus(focus === index ? undefined : index)}
            >
              <Swatch index={index} />
              <span class="group-name">{value}</span>
              <span class="muted">{formatCount(count)}</span>
            </button>
          </li>
        ))}
        {grouping.restCount > 0 && (
          <li>
            <button class="group" aria-pressed={focus === -1} onClick={() => onFocus(focus === -1 ? undefined : -1)}>
              <Swatch index={-1} />
              <span class="group-name">Other values, or none</span>
              <span class="muted">{formatCount(grouping.restCount)}</span>
            </button>
          </li>
        )}
      </ul>
    </>
  );
}

export function SelectionList({ ids, onClear }: { ids: string[]; onClear: () => void }) {
  const { api } = useSession();
  const [count, setCount] = useState(SHOWN_ITEMS);
  const shown = ids.slice(0, count);
  const titleOf = useTitles(api, shown);
  return (
    <section class="card" aria-label="Selected items">
      <div class="list-head">
        <h2>{formatPlural(ids.length, "selected item")}</h2>
        <button class="button button-small" onClick={onClear}>
          Clear
        </button>
      </div>
      <ul class="selection">
        {shown.map((id) => (
          <li key={id}>
            <a href={buildLink(api.name, "items", { id })}>{titleOf(id)}</a> <span class="id">{id}</span>
          </li>
        ))}
      </ul>
      {ids.length > count && (
        <div>
          <button class="button button-small" onClick={() => setCount(count + SHOWN_ITEMS)}>
            Show more
          </button>
        </div>
      )}
    </section>
  );
}
