import type { TopLevelSpec } from "vega-lite";
import { plain } from "../html.js";
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
 * point, or, where no place is free, as little of them as can be. Positions are in data units, so that they hold at whatever size the figure is shown.
 */
export function placeLabels(points: readonly Labelled[], frame: Frame): PlacedLabel[] {
  const toX = (value: number) => ((value - frame.x[0]) / (frame.x[1] - frame.x[0])) * frame.width;
  const toY = (value: number) => (1 - (value - frame.y[0]) / (frame.y[1] - frame.y[0])) * frame.height;
  const taken: Box[] = points.map((point) => boxAround(toX(point.x), toY(point.y), point.radius ?? 6));
  return [...points]
    .sort((a, b) => b.y - a.y)
    .map((point) => {
      const lines = point.label.split("\n");
      const width = Math.max(...lines.map((line) => line.length)) * characterWidth;
      const x = toX(point.x);
      const y = toY(point.y);
      const away = (point.radius ?? 6) + 4;
      const candidates = [0, -14, 14, -28, 28, -42, 42, -56, 56, -70, 70, -84, 84].flatMap((shift) =>
        (["left", "right"] as const).map((align) => ({
          align,
          shift,
          box: {
            left: align === "left" ? x + away : x - away - width,
            right: align === "left" ? x + away + width : x - away,
            top: y + shift - (lines.length * lineHeight) / 2,
            bottom: y + shift + (lines.length * lineHeight) / 2,
          },
        })),
      );
      const chosen = leastBy(candidates, ({ box }) => coveredBy(box, taken) + outside(box, frame));
      taken.push(chosen.box);
      const units = (frame.x[1] - frame.x[0]) / frame.width;
      const middle = (chosen.box.top + chosen.box.bottom) / 2;
      return {
        ...point,
        label: plain(point.label),
        labelX: point.x + (chosen.align === "left" ? away : -away) * units,
        labelY: frame.y[0] + (1 - middle / frame.height) * (frame.y[1] - frame.y[0]),
        align: chosen.align,
        moved: chosen.shift !== 0,
      };
    });
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

/** How bad it is that a box leaves the frame, in square pixels of others covered: a pixel is as bad as a column. */
const outside = (box: Box, { width, height }: Frame): number =>
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
