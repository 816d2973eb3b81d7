import type { Pixel, Scatterplot } from "./scatterplot";

export type Mode = "pan" | "lasso";

interface Listeners {
  /** The index of the point below the pointer; -1 for none. */
  onHover: (index: number) => void;
  onLasso: (corners: Pixel[]) => void;
  onSelect: (indexes: number[]) => void;
}

const WHEEL_SPEED = 0.0016;
const CLICK_PIXELS = 4;
const CORNER_PIXELS = 3;

/** Turns pointers and wheel into moves of a map: drag, pinch, zoom and lasso. */
export class MapGestures {
  mode: Mode = "pan";
  private readonly pointers = new Map<number, Pixel>();
  private lasso: Pixel[] | undefined;
  private travel = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly plot: Scatterplot,
    private readonly listeners: Listeners,
  ) {
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", (event) => this.release(event));
    canvas.addEventListener("pointerleave", () => listeners.onHover(-1));
    canvas.addEventListener("wheel", (event) => this.zoom(event), { passive: false });
  }

  private locate(event: MouseEvent): Pixel {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  private press(event: PointerEvent): void {
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.locate(event);
    this.pointers.set(event.pointerId, at);
    this.travel = 0;
    const isLasso = this.pointers.size === 1 && (this.mode === "lasso" || event.shiftKey);
    this.lasso = isLasso ? [at] : undefined;
  }

  private move(event: PointerEvent): void {
    const at = this.locate(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.listeners.onHover(this.plot.pick(at));
      return;
    }
    this.pointers.set(event.pointerId, at);
    this.travel += Math.hypot(at.x - before.x, at.y - before.y);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) this.pinch(other, before, at);
    else if (this.lasso) this.extendLasso(this.lasso, at);
    else this.plot.pan(at.x - before.x, at.y - before.y);
  }

  private pinch(other: Pixel, before: Pixel, at: Pixel): void {
    const distance = (pixel: Pixel) => Math.hypot(pixel.x - other.x, pixel.y - other.y) || 1;
    this.plot.zoomBy(distance(at) / distance(before), { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 });
  }

  private extendLasso(lasso: Pixel[], at: Pixel): void {
    const last = lasso.at(-1) ?? at;
    if (Math.hypot(at.x - last.x, at.y - last.y) < CORNER_PIXELS) return;
    lasso.push(at);
    this.listeners.onLasso([...lasso]);
  }

  private release(event: PointerEvent): void {
    if (!this.pointers.delete(event.pointerId)) return;
    if (this.travel < CLICK_PIXELS) {
      const index = this.plot.pick(this.locate(event));
      this.listeners.onSelect(index >= 0 ? [index] : []);
    } else if (this.lasso) {
      this.listeners.onSelect(this.plot.listInside(this.lasso));
    }
    this.lasso = undefined;
    this.listeners.onLasso([]);
  }

  private zoom(event: WheelEvent): void {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * 16 : event.deltaY;
    this.plot.zoomBy(Math.exp(-pixels * WHEEL_SPEED), this.locate(event));
  }
}
