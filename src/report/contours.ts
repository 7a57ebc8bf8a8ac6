/**
 * The outline of `values >= 0.5` in an image of `width` x `height` pixels, as SVG path data in pixel units: marching
 * squares with linear interpolation between pixel centres, closed at the image's border. Empty where nothing is inside.
 */
export function outline(values: ArrayLike<number>, width: number, height: number): string {
  const level = 0.5;
  const at = (x: number, y: number) => {
    const value = x < 0 || y < 0 || x >= width || y >= height ? 0 : (values[y * width + x] as number);
    return Number.isFinite(value) ? value : 0;
  };
  // From each edge of the lattice of pixel centres that the outline crosses to the next one.
  const next = new Map<string, string>();
  const places = new Map<string, string>();
  const crossing = (ax: number, ay: number, bx: number, by: number): string => {
    const edge = `${ax},${ay},${bx},${by}`;
    const a = at(ax, ay);
    const share = (level - a) / (at(bx, by) - a);
    places.set(edge, `${round(ax + (bx - ax) * share + 0.5)} ${round(ay + (by - ay) * share + 0.5)}`);
    return edge;
  };
  for (let y = -1; y < height; y++) {
    for (let x = -1; x < width; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)].map((value) => value >= level);
      const code = corners.reduce((sum, inside, bit) => sum + (inside ? 1 << bit : 0), 0);
      const edges = [
        [x, y, x + 1, y], // top
        [x + 1, y, x + 1, y + 1], // right
        [x, y + 1, x + 1, y + 1], // bottom
        [x, y, x, y + 1], // left
      ] as const;
      for (const [from, to] of segments[code] as [Edge, Edge][]) {
        next.set(crossing(...edges[from]), crossing(...edges[to]));
      }
    }
  }
  let path = "";
  while (next.size > 0) {
    let edge = next.keys().next().value;
    const points: string[] = [];
    while (edge !== undefined && next.has(edge)) {
      points.push(places.get(edge) as string);
      const following = next.get(edge);
      next.delete(edge);
      edge = following;
    }
    path += `M${points.join("L")}Z`;
  }
  return path;
}

type Edge = 0 | 1 | 2 | 3;

const round = (value: number) => String(Math.round(value * 100) / 100);

// Edges (0 top, 1 right, 2 bottom, 3 left) from which and to which the outline runs, by which corners are inside
// (bit 0: top left, then clockwise), always with the inside on the same hand, so that segments join into rings.
const segments: [Edge, Edge][][] = [
  [],
  [[0, 3]],
  [[1, 0]],
  [[1, 3]],
  [[2, 1]],
  [
    [0, 3],
    [2, 1],
  ],
  [[2, 0]],
  [[2, 3]],
  [[3, 2]],
  [[0, 2]],
  [
    [1, 0],
    [3, 2],
  ],
  [[1, 2]],
  [[3, 1]],
  [[0, 1]],
  [[3, 0]],
  [],
];
