import { useMemo, useState } from "preact/hooks";

import type { ClusterMap, Item } from "../../api/types";
import { type FilterRow, buildFilter, describeFilter } from "../../filters";
import { formatPlural } from "../../format";
import { TextField, SelectField } from "../../parts/field";
import { FilterBuilder } from "../../parts/filter_builder";
import { PageHead } from "../../parts/layout";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { useLoaded, useSession, useSettled, useTask } from "../../state";
import { ClusterList, SelectionList, ValueList } from "./map_lists";
import { type Grouping, groupByAttribute, paint } from "./colors";
import { MapCanvas } from "./map_canvas";

const POINT_LIMITS = { "10000": "10,000", "50000": "50,000", "100000": "100,000" };

// Colors by attribute need the items themselves, which are much larger than their points.
const MAX_COLORED_ITEMS = 20_000;
const BATCH = 500;

// Clustering takes seconds in large catalogs.
const TYPING_PAUSE_MS = 800;

/** The catalog as a plane on which similar items are near each other. */
export function MapPage() {
  const { api } = useSession();
  const [pointLimit, setPointLimit] = useState<keyof typeof POINT_LIMITS>("10000");
  const [clusterCount, setClusterCount] = useState("");
  const [rows, setRows] = useState<FilterRow[]>([]);
  const filter = useSettled(buildFilter(rows), TYPING_PAUSE_MS);
  const count = useSettled(Number(clusterCount), TYPING_PAUSE_MS);
  const task = useLoaded<ClusterMap>(
    (signal) =>
      api.clusterItems(
        {
          pointLimit: Number(pointLimit),
          representativeLimit: 6,
          ...(count > 0 ? { clusterCount: count } : {}),
          ...(filter ? { filter } : {}),
        },
        signal,
      ),
    [api, pointLimit, count, JSON.stringify(filter)],
  );
  return (
    <>
      <PageHead title="Map">
        <p class="muted">Similar items are near each other.</p>
      </PageHead>
      <section class="card">
        <div class="settings-row">
          <SelectField label="Points at most" value={pointLimit} options={POINT_LIMITS} onValue={setPointLimit} />
          <TextField
            label="Clusters"
            type="number"
            value={clusterCount}
            onValue={setClusterCount}
            placeholder="chosen by Akin"
            bounds={{ min: 1, max: 1000 }}
          />
        </div>
        <details>
          <summary>
            Filter <span class="muted">· {describeFilter(rows)}</span>
          </summary>
          <FilterBuilder rows={rows} onRows={setRows} />
        </details>
      </section>
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {task.isRunning && <Busy>Clustering the items…</Busy>}
      {task.value && !task.value.points?.length && <Empty>No item to show.</Empty>}
      {task.value?.points?.length ? <Clusters map={task.value} /> : null}
    </>
  );
}

function Clusters({ map }: { map: ClusterMap }) {
  const { api } = useSession();
  const { points = [], clusters = [], coverage = {} } = map;
  const [attribute, setAttribute] = useState("");
  const [focus, setFocus] = useState<number>();
  const [selection, setSelection] = useState<number[]>([]);
  const coloring = useTask<Map<string, Item>>();
  const ids = useMemo(() => points.map(({ itemId }) => itemId), [map]);
  const positions = useMemo(() => Float32Array.from(points.flatMap(({ x = 0, y = 0 }) => [x, y])), [map]);
  const clusterOf = useMemo(() => Int32Array.from(points, ({ clusterIndex = 0 }) => clusterIndex), [map]);
  const grouping: Grouping | undefined = useMemo(
    () => (attribute && coloring.value ? groupByAttribute(ids, coloring.value, attribute) : undefined),
    [map, attribute, coloring.value],
  );
  const groups = grouping?.groups ?? clusterOf;
  const colors = useMemo(
    () => paint(groups, (index) => focus === undefined || groups[index] === focus),
    [groups, focus],
  );
  const set = useMemo(() => ({ positions, colors }), [positions, colors]);
  const colorBy = (name: string) => {
    setFocus(undefined);
    setAttribute(name);
    if (name && !coloring.value) void coloring.run((signal) => loadItems(ids, (part) => api.batchGetItems(part, signal)));
  };
  return (
    <div class="map-page">
      <div class="stack">
        <MapCanvas points={set} ids={ids} labels={attribute ? [] : clusters} onSelect={setSelection} />
        <p class="hint">
          {formatPlural(points.length, "point")} of {formatPlural(coverage.itemCount, "item")}
          {coverage.sampled ? ", clustered from a sample" : ""}. Drag to move, scroll to zoom, hold Shift and drag to
          select.
        </p>
        {selection.length > 0 && (
          <SelectionList ids={selection.map((index) => ids[index] ?? "")} onClear={() => setSelection([])} />
        )}
      </div>
      <div class="stack">
        <ColorField onAttribute={colorBy} count={ids.length} />
        <ErrorNotice error={coloring.error} />
        {coloring.isRunning && <Busy>Loading the items…</Busy>}
        {grouping ? (
          <ValueList grouping={grouping} attribute={attribute} focus={focus} onFocus={setFocus} />
        ) : (
          <ClusterList clusters={clusters} focus={focus} onFocus={setFocus} />
        )}
      </div>
    </div>
  );
}

async function loadItems(ids: string[], load: (part: string[]) => Promise<Item[]>): Promise<Map<string, Item>> {
  const items = new Map<string, Item>();
  for (let start = 0; start < ids.length; start += BATCH) {
    for (const item of await load(ids.slice(start, start + BATCH))) items.set(item.itemId, item);
  }
  return items;
}

function ColorField({ onAttribute, count }: { onAttribute: (name: string) => void; count: number }) {
  const [name, setName] = useState("");
  if (count > MAX_COLORED_ITEMS) {
    return <p class="hint">Colored by cluster. Up to 20,000 points can be colored by an attribute.</p>;
  }
  return (
    <form
      class="inline-form"
      onSubmit={(event) => {
        event.preventDefault();
        onAttribute(name.trim());
      }}
    >
      <TextField label="Color by attribute" value={name} onValue={setName} placeholder="empty: by cluster" />
      <button class="button">Color</button>
    </form>
  );
}
