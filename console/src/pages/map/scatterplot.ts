import { PointGrid } from "./point_grid";
import { PointRaster } from "./point_raster";

const MIN_ZOOM = 0.5;
const MAX_ZOOM = 400;
const MARGIN = 0.82;
const PICK_PIXELS = 10;

/** The part of the map that is visible: its center, and how much larger than the whole it is drawn. */
export interface View {
  x: number;
  y: number;
  zoom: number;
}

export interface Pixel {
  x: number;
  y: number;
}

/** Points of one map: x and y in turn, and red, green, blue and opacity of each in turn. */
export interface PointSet {
  positions: Float32Array<ArrayBuffer>;
  colors: Uint8Array<ArrayBuffer>;
}

/** Shows up to 100,000 points on a canvas. */
export class Scatterplot {
  view: View = { x: 0, y: 0, zoom: 1 };
  private readonly context: CanvasRenderingContext2D;
  private readonly raster = new PointRaster();
  private points: PointSet = { positions: new Float32Array(), colors: new Uint8Array() };
  private grid = new PointGrid(this.points.positions);
  private center = { x: 0, y: 0 };
  private extent = { x: 1, y: 1 };
  private frame = 0;
  // Asking the canvas for its size while labels move would lay out the page again and again.
  private size = { width: 1, height: 1 };
  private background = 0;

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly onDraw: () => void,
  ) {
    const context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    if (!context) throw new Error("This browser cannot draw. The list of clusters has the same groups.");
    this.context = context;
    this.resize();
  }

  /** The width of the canvas in pixels of the page. */
  get width(): number {
    return this.size.width;
  }

  setPoints(points: PointSet): void {
    this.points = points;
    this.grid = new PointGrid(points.positions);
    const { minX, maxX, minY, maxY } = this.grid.bounds;
    this.center = { x: (minX + maxX) / 2, y: (minY + maxY) / 2 };
    this.extent = { x: (maxX - minX) / 2 || 1, y: (maxY - minY) / 2 || 1 };
    this.draw();
  }

  setColors(colors: Uint8Array<ArrayBuffer>): void {
    this.points = { ...this.points, colors };
    this.draw();
  }

  /** Draw again after the canvas has got another size or background. */
  resize(): void {
    this.size = { width: this.canvas.clientWidth || 1, height: this.canvas.clientHeight || 1 };
    this.background = readBackground(this.canvas);
    this.draw();
  }

  reset(): void {
    this.view = { ...this.center, zoom: 1 };
    this.draw();
  }

  pan(pixelsX: number, pixelsY: number): void {
    const scale = this.pixelsPerUnit();
    this.view = { ...this.view, x: this.view.x - pixelsX / scale, y: this.view.y + pixelsY / scale };
    this.draw();
  }

  /** Zoom by a factor, so that the point below `at` stays there. */
  zoomBy(factor: number, at: Pixel = { x: this.size.width / 2, y: this.size.height / 2 }): void {
    const before = this.toMap(at);
    this.view = { ...this.view, zoom: Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, this.view.zoom * factor)) };
    const after = this.toMap(at);
    this.view = { ...this.view, x: this.view.x + before.x - after.x, y: this.view.y + before.y - after.y };
    this.draw();
  }

  toMap({ x, y }: Pixel): Pixel {
    const scale = this.pixelsPerUnit();
    return {
      x: this.view.x + (x - this.size.width / 2) / scale,
      y: this.view.y - (y - this.size.height / 2) / scale,
    };
  }

  toPixel({ x, y }: Pixel): Pixel {
    const scale = this.pixelsPerUnit();
    return {
      x: this.size.width / 2 + (x - this.view.x) * scale,
      y: this.size.height / 2 - (y - this.view.y) * scale,
    };
  }

  /** Return the index of the point nearest to a pixel; -1 if none is close. */
  pick(at: Pixel): number {
    return this.grid.findNearest(this.toMap(at), PICK_PIXELS / this.pixelsPerUnit());
  }

  /** Return the indexes of the points inside a polygon. */
  listInside(polygon: Pixel[]): number[] {
    return this.grid.listInside(polygon.map((pixel) => this.toMap(pixel)));
  }

  /** Draw once before the next frame, however often it is called. */
  draw(): void {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.drawNow();
      this.onDraw();
    });
  }

  destroy(): void {
    cancelAnimationFrame(this.frame);
  }

  private pixelsPerUnit(): number {
    const fit = Math.min(this.size.width / (2 * this.extent.x), this.size.height / (2 * this.extent.y));
    return MARGIN * fit * this.view.zoom;
  }

  private drawNow(): void {
    const { canvas, view } = this;
    const ratio = devicePixelRatio;
    const size = { width: Math.round(this.size.width * ratio), height: Math.round(this.size.height * ratio) };
    if (canvas.width !== size.width) canvas.width = size.width;
    if (canvas.height !== size.height) canvas.height = size.height;
    const scale = this.pixelsPerUnit() * ratio;
    const place = { scale, offsetX: size.width / 2 - view.x * scale, offsetY: size.height / 2 + view.y * scale };
    const image = this.raster.draw(size, this.points, place, this.pointPixels() * ratio, this.background);
    this.context.putImageData(image, 0, 0);
  }

  /** Few points are large, many are small, and zooming enlarges them slowly. */
  private pointPixels(): number {
    return Math.min(14, Math.max(2.5, 26 / (this.points.positions.length / 2 + 1) ** 0.2) * this.view.zoom ** 0.3);
  }
}

/** Return the background color of an element, as the pixel of an image. */
function readBackground(element: HTMLElement): number {
  const [red = 255, green = 255, blue = 255] = (getComputedStyle(element).backgroundColor.match(/\d+/g) ?? []).map(Number);
  return (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
}
