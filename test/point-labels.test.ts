import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { placeLabels } from "../dist/report/figures/point-labels.js";

/** Pixels inside the axes of a panel, as figures 1b and 2 have them. */
const frame = { x: [-3, 5] as [number, number], y: [-100, 40] as [number, number], width: 264, height: 174 };

const names = ["PI-RADS classification", "Lesion segmentation", "Super-resolution*", "A", "Task\nD2S 2.00"];
const fraction = fc.oneof(
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.constantFrom(0, 0.5, 0.98, 1), // points upon each other, in one line, and at the edges
);
/** As many points as the paper's tasks have by both strategies. */
const points = fc.array(
  fc.record({
    x: fraction.map((share) => frame.x[0] + share * (frame.x[1] - frame.x[0])),
    y: fraction.map((share) => frame.y[0] + share * (frame.y[1] - frame.y[0])),
    label: fc.constantFrom(...names),
    radius: fc.constantFrom(5, 6, 12),
  }),
  { minLength: 1, maxLength: 10 },
);

/** What a reader sees of placed labels: texts of 6 pixels a letter and 13 a line, and lines to the points. */
function seen(placed: ReturnType<typeof placeLabels>) {
  const toX = (value: number) => ((value - frame.x[0]) / (frame.x[1] - frame.x[0])) * frame.width;
  const toY = (value: number) => ((frame.y[1] - value) / (frame.y[1] - frame.y[0])) * frame.height;
  return placed.map((one) => {
    const lines = one.label.split("\n");
    const width = Math.max(...lines.map((line) => line.length)) * 6;
    const [x, y] = [toX(one.labelX), toY(one.labelY)];
    return {
      left: one.align === "left" ? x : x - width,
      right: one.align === "left" ? x + width : x,
      top: y - 6.5, // placed by its first line
      bottom: y - 6.5 + lines.length * 13,
      leader: one.line && { from: [toX(one.x), toY(one.y)], to: [toX(one.line.x), toY(one.line.y)] },
    };
  });
}

/** Where two lines cross, as shares of their lengths, by Cramer's rule; null for parallel ones. */
function crossing(one: { from: number[]; to: number[] }, other: { from: number[]; to: number[] }) {
  const [a, b] = [one, other].map(({ from, to }) => [to[0] - from[0], to[1] - from[1]]);
  const between = [other.from[0] - one.from[0], other.from[1] - one.from[1]];
  const determinant = a[0] * b[1] - a[1] * b[0];
  if (Math.abs(determinant) < 1e-9) return null;
  return {
    first: (between[0] * b[1] - between[1] * b[0]) / determinant,
    second: (between[0] * a[1] - between[1] * a[0]) / determinant,
  };
}
const within = (share: number) => share > 1e-6 && share < 1 - 1e-6;

describe("labels of points, wherever these lie", () => {
  it("never overlap, and no two lines to points cross", () => {
    fc.assert(
      fc.property(points, (set) => {
        const labels = seen(placeLabels(set, frame));
        expect(labels).toHaveLength(set.length);
        for (const [index, one] of labels.entries()) {
          for (const other of labels.slice(index + 1)) {
            const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
            const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
            expect(Math.min(across, down)).toBeLessThan(1e-6);
            if (one.leader === null || other.leader === null) continue;
            const at = crossing(one.leader, other.leader);
            expect(at !== null && within(at.first) && within(at.second)).toBe(false);
          }
        }
      }),
      { numRuns: 400, seed: 7 },
    );
  });

  it("stand at their points without a line where there is room", () => {
    const placed = placeLabels(
      [-2, 0, 2].map((x, index) => ({ x, y: -80 + 50 * index, label: `Task ${index}` })),
      frame,
    );
    for (const one of placed) {
      expect(one.line).toBeNull();
      expect(one.labelY).toBeCloseTo(one.y, 9);
    }
  });
});
