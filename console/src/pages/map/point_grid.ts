const CELLS = 128;

export interface Point {
  x: number;
  y: number;
}

interface Bounds {
  minX: number;
  maxX: number;
  minY: number;
  maxY: number;
}

/** Finds points by place: a grid of cells, each with the indexes of its points. */
export class PointGrid {
  readonly bounds: Bounds;
  /** The index in `order` at which each cell begins. */
  private readonly starts = new Uint32Array(CELLS * CELLS + 1);
  private readonly order: Uint32Array;

  /** @param positions x and y of each point in turn */
  constructor(private readonly positions: Float32Array) {
    this.bounds = measure(positions);
    const count = positions.length / 2;
    const cells = new Uint16Array(count);
    for (let index = 0; index < count; index += 1) {
      cells[index] = this.cellOf(this.x(index), this.y(index));
      this.starts[cells[index]! + 1]! += 1;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell += 1) this.starts[cell + 1]! += this.starts[cell]!;
    const next = this.starts.slice();
    this.order = new Uint32Array(count);
    for (let index = 0; index < count; index += 1) this.order[next[cells[index]!]!++] = index;
  }

  /** Return the index of the nearest point within a distance; -1 if there is none. */
  findNearest({ x, y }: Point, maxDistance: number): number {
    let nearest = -1;
    let least = maxDistance * maxDistance;
    this.visit(x - maxDistance, x + maxDistance, y - maxDistance, y + maxDistance, (index) => {
      const distance = (this.x(index) - x) ** 2 + (this.y(index) - y) ** 2;
      if (distance <= least) [nearest, least] = [index, distance];
    });
    return nearest;
  }

  listInside(polygon: Point[]): number[] {
    const indexes: number[] = [];
    const xs = polygon.map(({ x }) => x);
    const ys = polygon.map(({ y }) => y);
    this.visit(Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys), (index) => {
      if (isInside(polygon, this.x(index), this.y(index))) indexes.push(index);
    });
    return indexes;
  }

  private x(index: number): number {
    return this.positions[2 * index]!;
  }

  private y(index: number): number {
    return this.positions[2 * index + 1]!;
  }

  private visit(minX: number, maxX: number, minY: number, maxY: number, see: (index: number) => void): void {
    const [left, right] = [this.column(minX), this.column(maxX)];
    const [bottom, top] = [this.row(minY), this.row(maxY)];
    for (let row = bottom; row <= top; row += 1) {
      const from = this.starts[row * CELLS + left]!;
      const to = this.starts[row * CELLS + right + 1]!;
      for (let place = from; place < to; place += 1) see(this.order[place]!);
    }
  }

  private cellOf(x: number, y: number): number {
    return this.row(y) * CELLS + this.column(x);
  }

  private column(x: number): number {
    return toCell(x, this.bounds.minX, this.bounds.maxX);
  }

  private row(y: number): number {
    return toCell(y, this.bounds.minY, this.bounds.maxY);
  }
}

function toCell(value: number, min: number, max: number): number {
  const place = Math.floor((CELLS * (value - min)) / (max - min || 1));
  return Math.min(CELLS - 1, Math.max(0, place));
}

function measure(positions: Float32Array): Bounds {
  if (!positions.length) return { minX: -1, maxX: 1, minY: -1, maxY: 1 };
  const bounds = { minX: Infinity, maxX: -Infinity, minY: Infinity, maxY: -Infinity };
  for (let index = 0; index < positions.length; index += 2) {
    const [x, y] = [positions[index]!, positions[index + 1]!];
    bounds.minX = Math.min(bounds.minX, x);
    bounds.maxX = Math.max(bounds.maxX, x);
    bounds.minY = Math.min(bounds.minY, y);
    bounds.maxY = Math.max(bounds.maxY, y);
  }
  return bounds;
}

/** Is a point inside of a polygon? It is if a ray from it crosses the edges an odd number of times. */
function isInside(polygon: Point[], x: number, y: number): boolean {
  let inside = false;
  polygon.forEach((corner, index) => {
    const before = polygon.at(index - 1)!;
    const crosses = corner.y > y !== before.y > y;
    if (crosses && x < ((before.x - corner.x) * (y - corner.y)) / (before.y - corner.y) + corner.x) inside = !inside;
  });
  return inside;
}
