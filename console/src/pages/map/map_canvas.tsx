import { useEffect, useRef, useState } from "preact/hooks";

import type { Cluster } from "../../api/types";
import { ErrorNotice } from "../../parts/notice";
import { Choice } from "../../parts/field";
import { MapGestures, type Mode } from "./map_gestures";
import { ItemTip } from "./item_tip";
import { type Pixel, type PointSet, Scatterplot } from "./scatterplot";

const MODES: Record<Mode, string> = { pan: "Move", lasso: "Select" };
const PAN_STEP = 60;
const ZOOM_STEP = 1.5;
const LETTER_PIXELS = 8;

interface MapCanvasProps {
  points: PointSet;
  ids: string[];
  /** Clusters whose keywords are written on the map. */
  labels: Cluster[];
  onSelect: (indexes: number[]) => void;
}

/** The points with what lies above them: keywords, the lasso and the item below the pointer. */
export function MapCanvas({ points, ids, labels, onSelect }: MapCanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const plot = useRef<Scatterplot | undefined>(undefined);
  const gestures = useRef<MapGestures | undefined>(undefined);
  const [error, setError] = useState<unknown>();
  const [mode, setMode] = useState<Mode>("pan");
  const [, setDrawing] = useState(0);
  const [hover, setHover] = useState(-1);
  const [lasso, setLasso] = useState<Pixel[]>([]);
  const select = useRef(onSelect);
  select.current = onSelect;

  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    try {
      plot.current = new Scatterplot(element, () => setDrawing((count) => count + 1));
    } catch (failure) {
      setError(failure);
      return;
    }
    const drawn = plot.current;
    gestures.current = new MapGestures(element, drawn, {
      onHover: setHover,
      onLasso: setLasso,
      onSelect: (indexes) => select.current(indexes),
    });
    const resize = () => drawn.resize();
    const resizing = new ResizeObserver(resize);
    resizing.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", resize);
    return () => {
      resizing.disconnect();
      scheme.removeEventListener("change", resize);
      drawn.destroy();
    };
  }, []);
  useEffect(() => {
    plot.current?.setPoints(points);
    plot.current?.reset();
  }, [points.positions]);
  useEffect(() => plot.current?.setColors(points.colors), [points.colors]);
  if (gestures.current) gestures.current.mode = mode;

  if (error) return <ErrorNotice error={error} />;
  const hovered = hover >= 0 ? plot.current?.toPixel(readPoint(points, hover)) : undefined;
  return (
    <>
      <div class="map-controls">
        <Choice legend="What dragging does" value={mode} options={MODES} onValue={setMode} />
        <button class="button button-small" aria-label="Zoom in" onClick={() => plot.current?.zoomBy(ZOOM_STEP)}>
          +
        </button>
        <button class="button button-small" aria-label="Zoom out" onClick={() => plot.current?.zoomBy(1 / ZOOM_STEP)}>
          −
        </button>
        <button class="button button-small" onClick={() => plot.current?.reset()}>
          Whole map
        </button>
      </div>
      <div class="map">
        <canvas
          ref={canvas}
          class={mode === "lasso" ? "is-selecting" : ""}
          tabIndex={0}
          role="img"
          aria-label={`Map of ${ids.length} items. Arrow keys move it, plus and minus zoom, 0 shows all of it.`}
          onKeyDown={(event) => {
            if (plot.current && move(plot.current, event.key)) event.preventDefault();
          }}
        />
        <svg class="map-overlay" aria-hidden="true" focusable="false">
          {labels.map((cluster, index) => (
            <Label key={index} cluster={cluster} plot={plot.current} width={plot.current?.width ?? 0} />
          ))}
          {lasso.length > 1 && <polygon points={lasso.map(({ x, y }) => `${x},${y}`).join(" ")} />}
          {hovered && <circle cx={hovered.x} cy={hovered.y} r={8} />}
        </svg>
        <ItemTip itemId={hover >= 0 ? ids[hover] : undefined} />
      </div>
    </>
  );
}

interface LabelProps {
  cluster: Cluster;
  plot: Scatterplot | undefined;
  width: number;
}

/** The first keywords of a cluster at its center, moved so that the edges of the map do not cut them. */
function Label({ cluster: { keywords = [], x = 0, y = 0 }, plot, width }: LabelProps) {
  const place = plot?.toPixel({ x, y });
  if (!place || place.x < 0 || place.x > width) return null;
  const text = keywords.slice(0, 2).join(", ");
  const half = (text.length * LETTER_PIXELS) / 2;
  return (
    <text x={Math.min(width - half, Math.max(half, place.x))} y={place.y}>
      {text}
    </text>
  );
}

function readPoint({ positions }: PointSet, index: number): Pixel {
  return { x: positions[2 * index] ?? 0, y: positions[2 * index + 1] ?? 0 };
}

/** Obey a key; return false if it means nothing here. */
function move(plot: Scatterplot, key: string): boolean {
  const steps: Record<string, () => void> = {
    ArrowLeft: () => plot.pan(PAN_STEP, 0),
    ArrowRight: () => plot.pan(-PAN_STEP, 0),
    ArrowUp: () => plot.pan(0, PAN_STEP),
    ArrowDown: () => plot.pan(0, -PAN_STEP),
    "+": () => plot.zoomBy(ZOOM_STEP),
    "-": () => plot.zoomBy(1 / ZOOM_STEP),
    "0": () => plot.reset(),
  };
  const step = steps[key];
  step?.();
  return step !== undefined;
}
