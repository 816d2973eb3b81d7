import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import type { Attributes, ClusterMap } from "../../api/types";
import { type FilterRow, buildFilter, describeFilter } from "../../filters";
import { formatCount, formatPlural } from "../../format";
import { TextField, SelectField } from "../../parts/field";
import { FilterBuilder } from "../../parts/filter_builder";
import { PageHead } from "../../parts/layout";
import { Busy, Empty, ErrorNotice, Notice } from "../../parts/notice";
import { useLoaded, useSession, useSettled, useTask } from "../../state";
import { ClusterList, SelectionList, ValueList } from "./map_lists";
import { ColorField, loadAttributes } from "./color_field";
import { type Grouping, groupByAttribute, paint } from "./colors";
import { MapCanvas } from "./map_canvas";

const POINT_LIMITS = { "10000": "10,000", "50000": "50,000", "100000": "100,000" };

const MAX_CLUSTERS = 1000;

// Clustering takes seconds in large catalogs.
const TYPING_PAUSE_MS = 800;

/** The catalog as a plane on which similar items are near each other. */
export function MapPage() {
  const { api } = useSession();
  const [pointLimit, setPointLimit] = useState<keyof typeof POINT_LIMITS>("10000");
  const [clusterCount, setClusterCount] = useState("");
  const [rows, setRows] = useState<FilterRow[]>([]);
  const filter = useSettled(buildFilter(rows), TYPING_PAUSE_MS);
  const isCountValid = clusterCount === "" || (/^[1-9]\d*$/.test(clusterCount) && Number(clusterCount) <= MAX_CLUSTERS);
  const count = useSettled(isCountValid ? Number(clusterCount) : 0, TYPING_PAUSE_MS);
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
  // Selections and colors belong to the points of one response.
  const versions = useRef(0);
  const version = useMemo(() => (versions.current += 1), [task.value]);
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
            bounds={{ min: 1, max: MAX_CLUSTERS }}
          />
        </div>
        <details>
          <summary>
            Filter <span class="muted">· {describeFilter(rows)}</span>
          </summary>
          <FilterBuilder rows={rows} onRows={setRows} />
        </details>
      </section>
      {!isCountValid && (
        <Notice kind="warning">
          Clusters: enter a whole number from 1 to {formatCount(MAX_CLUSTERS)}. Akin chooses the number until then.
        </Notice>
      )}
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {task.isRunning && <Busy>Clustering the items…</Busy>}
      {task.value && !task.value.points?.length && <Empty>No item to show.</Empty>}
      {task.value?.points?.length ? <Clusters key={version} map={task.value} /> : null}
    </>
  );
}

/** Return whether the page is dark; it is drawn again when this changes. */
function useDarkScheme(): boolean {
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const [isDark, setDark] = useState(scheme.matches);
  useEffect(() => {
    const update = () => setDark(scheme.matches);
    scheme.addEventListener("change", update);
    return () => scheme.removeEventListener("change", update);
  }, []);
  return isDark;
}

function Clusters({ map }: { map: ClusterMap }) {
  const { api } = useSession();
  const { points = [], clusters = [], coverage = {} } = map;
  const [attribute, setAttribute] = useState("");
  const [focus, setFocus] = useState<number>();
  const [selection, setSelection] = useState<number[]>([]);
  const coloring = useTask<Map<string, Attributes>>();
  const [loaded, setLoaded] = useState(0);
  const ids = useMemo(() => points.map(({ itemId }) => itemId), [map]);
  const positions = useMemo(() => Float32Array.from(points.flatMap(({ x = 0, y = 0 }) => [x, y])), [map]);
  const clusterOf = useMemo(() => Int32Array.from(points, ({ clusterIndex = 0 }) => clusterIndex), [map]);
  const grouping: Grouping | undefined = useMemo(
    () => (attribute && coloring.value ? groupByAttribute(ids, coloring.value, attribute) : undefined),
    [map, attribute, coloring.value],
  );
  const groups = grouping?.groups ?? clusterOf;
  const isDark = useDarkScheme();
  const colors = useMemo(() => {
    const selected = new Set(selection);
    const isSelected = (index: number) => selected.size === 0 || selected.has(index);
    return paint(groups, (index) => isSelected(index) && (focus === undefined || groups[index] === focus));
  }, [groups, focus, selection, isDark]);
  const set = useMemo(() => ({ positions, colors }), [positions, colors]);
  const colorBy = (name: string) => {
    setFocus(undefined);
    setAttribute(name);
    if (!name) coloring.cancel();
    else if (!coloring.value && !coloring.isRunning) {
      setLoaded(0);
      void coloring.run((signal) => loadAttributes(ids, (part) => api.batchGetItems(part, signal), setLoaded));
    }
  };
  return (
    <div class="map-page">
      <div class="stack">
        <MapCanvas points={set} ids={ids} labels={attribute ? [] : clusters} onSelect={setSelection} />
        <p class="hint">
          {formatPlural(points.length, "point")} of {formatPlural(coverage.itemCount, "item")}
          {coverage.sampled ? ", clustered from a sample" : ""}. Drag to move.{" "}
          {matchMedia("(any-pointer: fine)").matches
            ? "Scroll to zoom. To select items, hold Shift and drag."
            : "Pinch to zoom. To select items, choose “Select”, then drag."}
        </p>
        {selection.length > 0 && (
          <SelectionList ids={selection.map((index) => ids[index] ?? "")} onClear={() => setSelection([])} />
        )}
      </div>
      <div class="stack">
        <ColorField onAttribute={colorBy} loaded={coloring.isRunning ? loaded : undefined} total={ids.length} />
        <ErrorNotice error={coloring.error} />
        {grouping ? (
          <ValueList grouping={grouping} attribute={attribute} focus={focus} onFocus={setFocus} />
        ) : (
          <ClusterList clusters={clusters} focus={focus} onFocus={setFocus} />
        )}
      </div>
    </div>
  );
}
