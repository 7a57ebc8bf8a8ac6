import type { TopLevelSpec } from "vega-lite";
import { largest } from "../../common/numbers.js";
import { plain } from "../html.js";
import { roles } from "../palette.js";
import { type Box, boxAround, crosses, type Line, shared, touches } from "./geometry.js";

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
  /** Where its first line begins or ends, at half the line's height: so Vega places text of several lines. */
  labelX: number;
  labelY: number;
  align: "left" | "right";
  /** Where the line from the point ends, of a label that had to move away. */
  line: { x: number; y: number } | null;
  /** The box of its text, in data units. */
  box: Box;
}

interface Frame {
  x: [number, number];
  y: [number, number];
  /** Pixels inside the axes. */
  width: number;
  height: number;
}

/** A point in pixels, and the size of its label. */
interface Mark {
  point: Labelled;
  x: number;
  y: number;
  radius: number;
  dot: Box;
  width: number;
  height: number;
}

/** A place for a label: its box, and the line from its point to it, where it had to move away. */
interface Place {
  align: "left" | "right";
  /** Pixels from where it stands best. */
  away: number;
  box: Box;
  line: Line | null;
}

const lineHeight = 13;
/** Pixels up or down from its point beyond which no label is looked for. */
const farthest = 120;
const characterWidth = 6.5; // of the widest fonts that a page may have, at the size of the labels

/**
 * Puts each label beside its point, on the side where it fits, moved until it covers no other label and its line to its
 * point crosses no other. Of all ways tried, the one is taken in which the fewest points are covered, the fewest lines
 * run through labels and points, and labels stand nearest. Positions are in data units, so that they hold at whatever
 * size the figure is shown.
 */
export function placeLabels(points: readonly Labelled[], frame: Frame): PlacedLabel[] {
  const marks = marksOf(points, frame);
  const places = bestWay(marks, frame);
  const unitX = (frame.x[1] - frame.x[0]) / frame.width;
  const unitY = (frame.y[1] - frame.y[0]) / frame.height;
  return marks.map(({ point }, index) => {
    const { box, align, line } = places[index] as Place;
    return {
      ...point,
      label: plain(point.label),
      labelX: frame.x[0] + (align === "left" ? box.left : box.right) * unitX,
      labelY: frame.y[1] - (box.top + lineHeight / 2) * unitY,
      align,
      line: line === null ? null : { x: frame.x[0] + line[2] * unitX, y: frame.y[1] - line[3] * unitY },
      box: {
        left: frame.x[0] + box.left * unitX,
        right: frame.x[0] + box.right * unitX,
        top: frame.y[1] - box.top * unitY,
        bottom: frame.y[1] - box.bottom * unitY,
      },
    };
  });
}

/** The first way in which labels stand nearly as well as they can, or the best of all ways. */
function bestWay(marks: readonly Mark[], frame: Frame): Place[] {
  let best: { places: Place[]; value: number } | null = null;
  const ways = [
    ...orders.map((order) => () => searched(marks, order, frame)),
    ...(["left", "right"] as const).map((side) => () => column(marks, side, frame)),
  ];
  for (const way of ways) {
    const places = way();
    const value = marks.reduce((sum, _, index) => sum + wrong(places, index, marks, frame), 0);
    if (best === null || value < best.value) best = { places, value };
    if (best.value < marks.length * lineHeight) break;
  }
  return best?.places ?? [];
}

function marksOf(points: readonly Labelled[], frame: Frame): Mark[] {
  return [...points]
    .sort((a, b) => b.y - a.y)
    .map((point) => {
      const x = ((point.x - frame.x[0]) / (frame.x[1] - frame.x[0])) * frame.width;
      const y = (1 - (point.y - frame.y[0]) / (frame.y[1] - frame.y[0])) * frame.height;
      const radius = point.radius ?? 6;
      const lines = point.label.split("\n");
      const width = largest(lines.map((line) => line.length)) * characterWidth;
      return { point, x, y, radius, dot: boxAround(x, y, radius), width, height: lines.length * lineHeight };
    });
}

/** A label on another, or lines that cross, are worse than all else together. */
const never = 1e7;
/** Square pixels of a point covered that a line through a label, or through a point, is as bad as. */
const lineThrough = { label: 900, point: 150 };

/**
 * How bad the place of one label is beside those of the others; those that have none yet are holes in the list. What is worse
 * than `most` is not counted to its end.
 */
function wrong(
  places: readonly (Place | undefined)[],
  index: number,
  marks: readonly Mark[],
  frame: Frame,
  most = Number.POSITIVE_INFINITY,
): number {
  const { box, line, away } = places[index] as Place;
  const { dot: own } = marks[index] as Mark;
  let sum = away + outside(box, frame);
  for (const [at, { dot }] of marks.entries()) {
    if (sum > most) break;
    const covered = shared(box, dot);
    if (covered > 0) sum += covered + lineThrough.point;
    // A line begins in its own point, and so in those that lie upon it.
    if (line !== null && shared(own, dot) === 0 && touches(line, dot)) sum += lineThrough.point;
    const other = places[at];
    if (at === index || other === undefined) continue;
    sum += never * shared(box, other.box);
    if (line !== null && other.line !== null && crosses(line, other.line)) sum += never;
    if (line !== null && touches(line, other.box)) sum += lineThrough.label;
    if (other.line !== null && touches(other.line, box)) sum += lineThrough.label;
  }
  return sum;
}

/** In which order labels look for their places; each order may end in another arrangement. */
const orders: ((a: Mark, b: Mark) => number)[] = [
  (a, b) => a.y - b.y,
  (a, b) => b.y - a.y,
  (a, b) => b.x - a.x,
  (a, b) => a.x - b.x,
  ...[1, 2, 3, 4, 5, 6, 7, 8].map((turn) => {
    // As good as drawn at random, and always the same.
    const rank = ({ x, y }: Mark) => ((x * 0.7548776662 + y * 0.569840291) * turn) % 1;
    return (a: Mark, b: Mark) => rank(a) - rank(b);
  }),
];
const mostRounds = 12;

/** Each label looks for its place among those before it, then again among all others, until none moves. */
function searched(marks: readonly Mark[], order: (a: Mark, b: Mark) => number, frame: Frame): Place[] {
  const places: (Place | undefined)[] = marks.map(() => undefined);
  const turns = [...marks.keys()].sort((a, b) => order(marks[a] as Mark, marks[b] as Mark));
  const candidates = marks.map((mark) => candidatesOf(mark, frame));
  for (let round = 0; round < mostRounds; round++) {
    let moved = false;
    for (const index of turns) {
      const before = places[index];
      places[index] = leastBy(candidates[index] as Place[], (place, least) => {
        places[index] = place;
        return wrong(places, index, marks, frame, least);
      });
      moved ||= places[index] !== before;
    }
    if (!moved) break;
  }
  return places as Place[];
}

/** Beside the point at its height, then up and down by a line at a time: beside the point, further away, and over it. */
function candidatesOf({ x, y, radius, width, height }: Mark, frame: Frame): Place[] {
  const step = lineHeight + 1;
  const shifts = [0];
  for (let shift = step; shift < Math.min(frame.height, farthest); shift += step) shifts.push(-shift, shift);
  return shifts.flatMap((shift) => {
    const clear = Math.abs(shift) >= radius + height / 2; // so far up or down that it may stand over its point
    const besides = shift === 0 ? [0] : clear ? [0, 24, 60, -width / 2 - radius] : [0, 24, 60];
    return besides.flatMap((beside) =>
      (["left", "right"] as const).map((align): Place => {
        const side = radius + 4 + beside;
        const asked = align === "left" ? x + side : x - side - width;
        const left = clear ? Math.max(0, Math.min(frame.width - width, asked)) : asked;
        const box = {
          left,
          right: left + width,
          top: y + shift - height / 2,
          bottom: y + shift + height / 2,
        };
        const line = shift === 0 ? null : lineTo(box, x, y);
        return {
          align,
          away: line === null ? 0 : lineHeight + Math.hypot(line[2] - x, line[3] - y),
          box,
          line,
        };
      }),
    );
  });
}

/** From a point to the nearest place of a box: the middle of a side, or above or beneath the point. */
function lineTo({ left, right, top, bottom }: Box, x: number, y: number): Line {
  if (x < left || x > right) return [x, y, x < left ? left : right, (top + bottom) / 2];
  return [x, y, x, y < top ? top : bottom];
}

/**
 * All labels beneath each other at one side, each with a line. This always comes out: wherever two lines cross, their
 * labels change places, which makes the two together shorter, so that it ends, and then none crosses another.
 */
function column(marks: readonly Mark[], side: "left" | "right", frame: Frame): Place[] {
  const widest = largest(marks.map(({ width }) => width));
  const step = largest(marks.map(({ height }) => height)) + 1;
  const edge = side === "left" ? widest : frame.width - widest;
  const middle = marks.reduce((sum, { y }) => sum + y, 0) / marks.length;
  const all = marks.length * step;
  const first = Math.max(0, Math.min(frame.height - all, middle - all / 2)) + step / 2;
  const rows = [...marks.keys()]; // the row of each mark, from the top
  const lineOf = (index: number): Line => {
    const { x, y } = marks[index] as Mark;
    return [x, y, edge, first + (rows[index] as number) * step];
  };
  for (let turn = 0; turn < marks.length ** 3; turn++) {
    const pair = crossingPair(marks.map((_, index) => lineOf(index)));
    if (pair === null) break;
    const [one, other] = pair;
    [rows[one], rows[other]] = [rows[other] as number, rows[one] as number];
  }
  return marks.map(({ width, height }, index) => {
    const line = lineOf(index);
    const middle = line[3];
    return {
      align: side === "left" ? "right" : "left",
      away: Math.hypot(line[2] - line[0], line[3] - line[1]),
      box: {
        left: side === "left" ? edge - width : edge,
        right: side === "left" ? edge : edge + width,
        top: middle - height / 2,
        bottom: middle + height / 2,
      },
      line,
    };
  });
}

function crossingPair(lines: readonly Line[]): [number, number] | null {
  for (const [one, line] of lines.entries()) {
    for (let other = one + 1; other < lines.length; other++)
      if (crosses(line, lines[other] as Line)) return [one, other];
  }
  return null;
}

/** How bad it is that a box leaves the frame: worse than all but an overlap, for axes have their labels there. */
const outside = (box: Box, { width, height }: Frame): number =>
  1000 *
  (Math.max(0, -box.left) +
    Math.max(0, box.right - width) +
    Math.max(0, -box.top) +
    Math.max(0, box.bottom - height));

/** The first of those for which `of`, which is told the least so far, is least. */
function leastBy<Item>(items: readonly Item[], of: (item: Item, least: number) => number): Item {
  let least = items[0] as Item;
  let value = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const own = of(item, value);
    if (own < value) [least, value] = [item, own];
  }
  return least;
}

/** What is drawn beneath the points: the ground of each label, so that no line of the plot runs through it, and its line. */
export function beneathLabels(labels: readonly PlacedLabel[], scaleX: object, scaleY: object): Layer[] {
  const x = (field: string) => ({ field, type: "quantitative" as const, scale: scaleX });
  const y = (field: string) => ({ field, type: "quantitative" as const, scale: scaleY });
  const grounds: Layer = {
    data: { values: labels.map(({ box }) => box) },
    mark: { type: "rect", color: roles.page.light, opacity: 0.8 },
    encoding: { x: x("left"), x2: { field: "right" }, y: y("top"), y2: { field: "bottom" } },
  };
  const leaders = labels.flatMap(({ x, y, line }) =>
    line === null ? [] : [{ x, y, toX: line.x, toY: line.y }],
  );
  if (leaders.length === 0) return [grounds];
  const lines: Layer = {
    name: "leaders",
    data: { values: leaders },
    mark: { type: "rule", color: roles.axis.light, strokeWidth: 0.8 },
    encoding: { x: x("x"), x2: { field: "toX" }, y: y("y"), y2: { field: "toY" } },
  };
  return [grounds, lines];
}

/** The texts of placed labels. */
export function labelLayers(labels: readonly PlacedLabel[], scaleX: object, scaleY: object): Layer[] {
  return (["left", "right"] as const)
    .filter((align) => labels.some((label) => label.align === align))
    .map(
      (align): Layer => ({
        name: `labels_${align}`,
        data: {
          values: labels
            .filter((label) => label.align === align)
            .map(({ labelX, labelY, label }) => ({ labelX, labelY, label })),
        },
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
}
