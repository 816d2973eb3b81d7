import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { formatCompact, formatUsd } from "../format";

const HEIGHT = 180;
const DAY_SECONDS = 86_400;

/** The chart has at least these days, up to the latest one with a value. */
const MIN_DAYS = 30;

export interface DayValue {
  day: string;
  value: number;
}

function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Return each day as its first second, without gaps, and its value. */
function fillDays(days: DayValue[]): [number[], number[]] {
  const values = new Map(days.map(({ day, value }) => [Date.parse(`${day}T00:00:00Z`) / 1000, value]));
  const last = Math.max(...values.keys());
  const first = Math.min(...values.keys(), last - (MIN_DAYS - 1) * DAY_SECONDS);
  const seconds = Array.from({ length: (last - first) / DAY_SECONDS + 1 }, (_, place) => first + place * DAY_SECONDS);
  return [seconds, seconds.map((second) => values.get(second) ?? 0)];
}

function build(parent: HTMLElement, days: DayValue[], unit: "usd" | "tokens"): uPlot {
  const format = unit === "usd" ? formatUsd : formatCompact;
  const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, font: "12px system-ui" };
  const options: uPlot.Options = {
    width: parent.clientWidth,
    height: HEIGHT,
    tzDate: (second) => uPlot.tzDate(new Date(second * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { range: (_, min, max) => [min - DAY_SECONDS, max + DAY_SECONDS] },
      y: { range: (_, __, max) => [0, max * 1.1 || 1] },
    },
    axes: [
      { ...axis, values: "{MMM} {D}", space: 60, grid: { show: false } },
      { ...axis, size: 92, values: (_, ticks) => ticks.map(format) },
    ],
    series: [
      {},
      {
        fill: color("--accent"),
        points: { show: false },
        ...(uPlot.paths.bars ? { paths: uPlot.paths.bars({ size: [0.6, 36], radius: 0.15 }) } : {}),
      },
    ],
  };
  return new uPlot(options, fillDays(days), parent);
}

/** Bars for the days of the embedding usage. The table beside it has the same numbers. */
export function SpendChart({ days, unit }: { days: DayValue[]; unit: "usd" | "tokens" }) {
  const parent = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = parent.current;
    if (!element) return;
    let plot = build(element, days, unit);
    const redraw = () => {
      plot.destroy();
      plot = build(element, days, unit);
    };
    const resizing = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    resizing.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", redraw);
    return () => {
      resizing.disconnect();
      scheme.removeEventListener("change", redraw);
      plot.destroy();
    };
  }, [days, unit]);
  return <div class="chart" ref={parent} aria-hidden="true" />;
}
