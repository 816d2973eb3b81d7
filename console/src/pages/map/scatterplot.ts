import { PointGrid } from "./point_grid";

const VERTEX_SHADER = `
attribute vec2 position;
attribute vec4 color;
uniform vec2 scale;
uniform vec2 offset;
uniform float size;
varying vec4 pointColor;
void main() {
  gl_Position = vec4(position * scale + offset, 0.0, 1.0);
  gl_PointSize = size;
  pointColor = color;
}`;

const FRAGMENT_SHADER = `
precision mediump float;
varying vec4 pointColor;
void main() {
  float distance = length(gl_PointCoord - 0.5);
  float alpha = pointColor.a * smoothstep(0.5, 0.38, distance);
  gl_FragColor = vec4(pointColor.rgb * alpha, alpha);
}`;

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

export class WebGlMissing extends Error {
  constructor() {
    super("This browser has no WebGL, which the map needs. The list of clusters has the same groups.");
  }
}

/**
 * Draws up to 100,000 points with WebGL.
 *
 * The libraries for this compile code from strings, which the Content-Security-Policy forbids.
 */
export class Scatterplot {
  view: View = { x: 0, y: 0, zoom: 1 };
  private readonly gl: WebGLRenderingContext;
  private readonly program: WebGLProgram;
  private readonly positions: WebGLBuffer;
  private readonly colors: WebGLBuffer;
  private grid = new PointGrid(new Float32Array());
  private count = 0;
  private center = { x: 0, y: 0 };
  private extent = { x: 1, y: 1 };
  private frame = 0;

  /** Throws WebGlMissing if the browser has no WebGL. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly onDraw: () => void,
  ) {
    const gl = canvas.getContext("webgl", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new WebGlMissing();
    this.gl = gl;
    this.program = link(gl);
    this.positions = gl.createBuffer();
    this.colors = gl.createBuffer();
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  setPoints({ positions, colors }: PointSet): void {
    const { gl } = this;
    this.count = positions.length / 2;
    this.grid = new PointGrid(positions);
    const { minX, maxX, minY, maxY } = this.grid.bounds;
    this.center = { x: (minX + maxX) / 2, y: (minY + maxY) / 2 };
    this.extent = { x: (maxX - minX) / 2 || 1, y: (maxY - minY) / 2 || 1 };
    gl.bindBuffer(gl.ARRAY_BUFFER, this.positions);
    gl.bufferData(gl.ARRAY_BUFFER, positions, gl.STATIC_DRAW);
    this.setColors(colors);
  }

  setColors(colors: Uint8Array<ArrayBuffer>): void {
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, this.colors);
    this.gl.bufferData(this.gl.ARRAY_BUFFER, colors, this.gl.STATIC_DRAW);
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
  zoomBy(factor: number, at: Pixel = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }): void {
    const before = this.toMap(at);
    this.view = { ...this.view, zoom: Math.min(MAX_ZOOM, Math.max(MIN_ZOOM, this.view.zoom * factor)) };
    const after = this.toMap(at);
    this.view = { ...this.view, x: this.view.x + before.x - after.x, y: this.view.y + before.y - after.y };
    this.draw();
  }

  toMap({ x, y }: Pixel): Pixel {
    const scale = this.pixelsPerUnit();
    return {
      x: this.view.x + (x - this.canvas.clientWidth / 2) / scale,
      y: this.view.y - (y - this.canvas.clientHeight / 2) / scale,
    };
  }

  toPixel({ x, y }: Pixel): Pixel {
    const scale = this.pixelsPerUnit();
    return {
      x: this.canvas.clientWidth / 2 + (x - this.view.x) * scale,
      y: this.canvas.clientHeight / 2 - (y - this.view.y) * scale,
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
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }

  private pixelsPerUnit(): number {
    const { clientWidth, clientHeight } = this.canvas;
    const fit = Math.min(clientWidth / (2 * this.extent.x), clientHeight / (2 * this.extent.y));
    return MARGIN * fit * this.view.zoom;
  }

  private drawNow(): void {
    const { gl, canvas, program } = this;
    const ratio = devicePixelRatio;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    gl.viewport(0, 0, width, height);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const scale = this.pixelsPerUnit() * 2;
    const [scaleX, scaleY] = [scale / canvas.clientWidth, scale / canvas.clientHeight];
    gl.uniform2f(gl.getUniformLocation(program, "scale"), scaleX, scaleY);
    gl.uniform2f(gl.getUniformLocation(program, "offset"), -this.view.x * scaleX, -this.view.y * scaleY);
    gl.uniform1f(gl.getUniformLocation(program, "size"), this.pointPixels() * ratio);
    this.bind("position", this.positions, 2, gl.FLOAT, false);
    this.bind("color", this.colors, 4, gl.UNSIGNED_BYTE, true);
    gl.drawArrays(gl.POINTS, 0, this.count);
  }

  /** Few points are large, many are small, and zooming enlarges them slowly. */
  private pointPixels(): number {
    return Math.min(14, Math.max(2.5, 26 / (this.count + 1) ** 0.2) * this.view.zoom ** 0.3);
  }

  private bind(name: string, buffer: WebGLBuffer, size: number, type: number, isNormalized: boolean): void {
    const place = this.gl.getAttribLocation(this.program, name);
    this.gl.bindBuffer(this.gl.ARRAY_BUFFER, buffer);
    this.gl.enableVertexAttribArray(place);
    this.gl.vertexAttribPointer(place, size, type, isNormalized, 0, 0);
  }
}

function link(gl: WebGLRenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [type, source] of [
    [gl.VERTEX_SHADER, VERTEX_SHADER],
    [gl.FRAGMENT_SHADER, FRAGMENT_SHADER],
  ] as const) {
    const shader = gl.createShader(type);
    if (!shader) throw new WebGlMissing();
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new WebGlMissing();
  return program;
}
