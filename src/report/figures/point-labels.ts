import type { TopLevelSpec } from "vega-lite";
import { plain } from "../html.js";
import { largest } from "../means.js";
import { roles } from "../palette.js";

/** One layer of a Vega-Lite specification. */
export type Layer = Extract<TopLevelSpec, { layer: unknown }>["layer"][number];

export interface Labelled {
  x: number;
  y: number;
  /** Lines are parted by `\n`. */
  label: string;
  /** Radius of the point in pixels; 6 where left out. */
  radius?: number;
}

export interface PlacedLabel extends Labelled {
  labelX: number;
  labelY: number;
  align: "left" | "right";
  /** Whether the label had to move up or down, and wants a line to its point. */
  moved: boolean;
}

interface Frame {
  x: [number, number];
  y: [number, number];
  /** Pixels inside the axes. */
  width: number;
  height: number;
}

const lineHeight = 13;
const characterWidth = 6.1;

/**
 * Puts each label beside its point, on the side where it fits, moved up or down until it covers no other label and no
 * point, and its line to its point crosses no other and runs through nothing; where no place is free, so that as little as
 * can be is wrong. Positions are in data units, so that they hold at whatever size the figure is shown.
 */
export function placeLabels(points: readonly Labelled[], frame: Frame): PlacedLabel[] {
  const toX = (value: number) => ((value - frame.x[0]) / (frame.x[1] - frame.x[0])) * frame.width;
  const toY = (value: number) => (1 - (value - frame.y[0]) / (frame.y[1] - frame.y[0])) * frame.height;
  const marks = [...points]
    .sort((a, b) => b.y - a.y)
    .map((point) => ({ point, x: toX(point.x), y: toY(point.y), radius: point.radius ?? 6 }));
  const dots = marks.map(({ x, y, radius }) => boxAround(x, y, radius));
  const chosen: (Candidate | undefined)[] = marks.map(() => undefined);
  // Each label looks for its place among those before it, then, twice, among all others.
  for (let round = 0; round < 3; round++) {
    for (const [index, mark] of marks.entries()) {
      const others = chosen.filter((other, at): other is Candidate => at !== index && other !== undefined);
      // A line begins in its own point, and so in those that lie upon it.
      const otherDots = dots.filter((dot) => coveredBy(dots[index] as Box, [dot]) === 0);
      const wrong = ({ box, line, away }: Candidate): number =>
        coveredBy(box, dots) +
        unreadable *
          coveredBy(
            box,
            others.map((other) => other.box),
          ) +
        outside(box, frame) +
        crossing *
          (others.filter((other) => crosses(line, other.line) || touches(other.line, box)).length +
            [...otherDots, ...others.map((other) => other.box)].filter((one) => touches(line, one)).length) +
        away;
      chosen[index] = leastBy(candidatesOf(mark), wrong);
    }
  }
  const units = (frame.x[1] - frame.x[0]) / frame.width;
  return marks.map(({ point, radius }, index) => {
    const { box, align, away } = chosen[index] as Candidate;
    const middle = (box.top + box.bottom) / 2;
    return {
      ...point,
      label: plain(point.label),
      labelX: point.x + (align === "left" ? radius + 4 : -radius - 4) * units,
      labelY: frame.y[0] + (1 - middle / frame.height) * (frame.y[1] - frame.y[0]),
      align,
      moved: away > 0,
    };
  });
}

/** How much worse it is to cover another label than to cover a point. */
const unreadable = 10;

/** How bad a line is that crosses another or runs through a label or a point, in square pixels covered. */
const crossing = 150;

/** A place for a label: its box, and the line from its point to it, which is drawn where the label had to move away. */
interface Candidate {
  align: "left" | "right";
  /** Pixels up or down from the point. */
  away: number;
  box: Box;
  line: Line;
}

type Line = readonly [x1: number, y1: number, x2: number, y2: number] | null;

function candidatesOf({
  point,
  x,
  y,
  radius,
}: {
  point: Labelled;
  x: number;
  y: number;
  radius: number;
}): Candidate[] {
  const lines = point.label.split("\n");
  const width = largest(lines.map((line) => line.length)) * characterWidth;
  const beside = radius + 4;
  const half = (lines.length * lineHeight) / 2;
  return [0, -14, 14, -28, 28, -42, 42, -56, 56, -70, 70, -84, 84].flatMap((shift) =>
    (["left", "right"] as const).map((align): Candidate => {
      const edge = align === "left" ? x + beside : x - beside;
      return {
        align,
        away: Math.abs(shift),
        box: {
          left: align === "left" ? edge : edge - width,
          right: align === "left" ? edge + width : edge,
          top: y + shift - half,
          bottom: y + shift + half,
        },
        line: shift === 0 ? null : [x, y, edge, y + shift],
      };
    }),
  );
}

/** Whether two lines cross. */
function crosses(one: Line, other: Line): boolean {
  if (one === null || other === null) return false;
  const side = (line: NonNullable<Line>, x: number, y: number) =>
    Math.sign((line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0]));
  return (
    side(one, other[0], other[1]) * side(one, other[2], other[3]) < 0 &&
    side(other, one[0], one[1]) * side(other, one[2], one[3]) < 0
  );
}

/** Whether a line runs through a box. */
function touches(line: Line, { left, right, top, bottom }: Box): boolean {
  if (line === null) return false;
  const [x1, y1, x2, y2] = line;
  const inside = (x: number, y: number) => x > left && x < right && y > top && y < bottom;
  return (
    inside(x1, y1) ||
    inside(x2, y2) ||
    crosses(line, [left, top, right, bottom]) ||
    crosses(line, [left, bottom, right, top])
  );
}

/** The layers that draw placed labels, with a thin line to the point from those that had to move. */
export function labelLayers(labels: readonly PlacedLabel[], scaleX: object, scaleY: object): Layer[] {
  const texts = (["left", "right"] as const)
    .filter((align) => labels.some((label) => label.align === align))
    .map(
      (align): Layer => ({
        name: `labels_${align}`,
        data: { values: labels.filter((label) => label.align === align) },
        mark: {
          type: "text",
          align,
          baseline: "middle",
          lineBreak: "\n",
          lineHeight,
          color: roles.ink.light,
        },
        encoding: {
          x: { field: "labelX", type: "quantitative", scale: scaleX },
          y: { field: "labelY", type: "quantitative", scale: scaleY },
          text: { field: "label", type: "nominal" },
        },
      }),
    );
  const moved = labels.filter((label) => label.moved);
  if (moved.length === 0) return texts;
  const lines: Layer = {
    data: { values: moved },
    mark: { type: "rule", color: roles.axis.light, strokeWidth: 0.8 },
    encoding: {
      x: { field: "x", type: "quantitative", scale: scaleX },
      x2: { field: "labelX" },
      y: { field: "y", type: "quantitative", scale: scaleY },
      y2: { field: "labelY" },
    },
  };
  return [lines, ...texts];
}

interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

const boxAround = (x: number, y: number, radius: number): Box => ({
  left: x - radius,
  right: x + radius,
  top: y - radius,
  bottom: y + radius,
});

/** Square pixels of a box that others cover. */
const coveredBy = (box: Box, others: readonly Box[]): number =>
  others.reduce((sum, other) => {
    const across = Math.min(box.right, other.right) - Math.max(box.left, other.left);
    const down = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
    return sum + Math.max(0, across) * Math.max(0, down);
  }, 0);

/** How bad it is that a box leaves the frame, in square pixels of others covered: a pixel is as bad as three columns. */
const outside = (box: Box, { width, height }: Frame): number =>
  3 *
  lineHeight *
  (Math.max(0, -box.left) +
    Math.max(0, box.right - width) +
    Math.max(0, -box.top) +
    Math.max(0, box.bottom - height));

/** The first of those for which `of` is least. */
const leastBy = <Item>(items: readonly Item[], of: (item: Item) => number): Item =>
  items.reduce<{ item: Item; value: number } | null>((least, item) => {
    const value = of(item);
    return least === null || value < least.value ? { item, value } : least;
  }, null)?.item as Item;
