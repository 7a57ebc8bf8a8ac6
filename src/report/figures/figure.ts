import type { TopLevelSpec } from "vega-lite";
import { largest, smallest } from "../../common/numbers.js";
import { type Comparator, comparators } from "../../common/vocabulary.js";
import { type CsvRow, csv } from "../csv.js";
import type { Embed } from "../data-uri.js";
import { escapeText, type Html, html } from "../html.js";
import { comparatorLabel } from "../labels.js";
import { looks, roles } from "../palette.js";
import { type Drawing, draw, grid, inline, stack, standalone } from "../svg.js";

/** One panel of a figure: specifications of one width, beneath each other. */
export interface Panel {
  /** What a screen reader says of it: the finding, not the axes. */
  label: string;
  title?: string;
  subtitle?: string[];
  parts: Part[];
}

/** A plot of a panel, at a width in pixels, or words in its place. */
export interface Part {
  /** What its y axis shows: written flush left above the plot, where no tick label can run into it. */
  axis?: string;
  spec?: (width: number) => TopLevelSpec;
}

/** A figure before it is drawn. Its rows are exactly the points drawn. */
export interface Figure {
  /** Name of its files: letters, digits and hyphens. */
  name: string;
  title: string;
  caption: Html;
  panels: Panel[];
  /** How many panels belong together in a row; two stand side by side where it is left out. */
  rowOf?: 3;
  /** Comparators shown, for the legend. */
  legend: readonly Comparator[];
  /** Lines or points in the legend. */
  key: "line" | "point";
  columnsOfCsv: string[];
  rows: CsvRow[];
}

export interface DrawnFigure {
  name: string;
  html: Html;
  /** By the name of the file beside the page. */
  svgs: [name: string, svg: string][];
  csv: string;
}

/** Widths of a column and of a page of a journal, in millimetres; at 96 pixels an inch, a panel fills one column. */
export const journalWidths = [85, 170] as const;
export const panelWidth = 320;
const gap = 12;
/** Of three panels in the width of a page: narrower plots, not smaller text. */
const thirdWidth = 248;
/** Room around a plot for what its axes say, the same everywhere, so that panels line up. */
export const plotRoom = { left: 50, right: 12, top: 6, bottom: 42 };
/** Of all text but titles, in pixels: 6 points or more where three panels share the width of a printed page. */
export const textSize = 11.5;

/** In the page. Files to be printed name the fonts that journals ask for. */
const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

const printFont = "Arial, Helvetica, 'Liberation Sans', sans-serif";

/** The pixels of a plot inside its axes. */
export const plotSize = (height: number, width: number, room = plotRoom) => ({
  width: width - room.left - room.right,
  height: height - room.top - room.bottom,
});

/**
 * Size, fonts and quiet axes that all panels share. The room around the plot is given: Vega would make it by guessing how
 * long words are, and squeeze the plot.
 */
export function panel(height: number, width: number, room = plotRoom) {
  return {
    ...plotSize(height, width, room),
    autosize: { type: "none" as const },
    padding: room,
    config: {
      aria: false,
      background: "transparent",
      font,
      view: { stroke: null },
      axis: {
        labelColor: roles.muted.light,
        labelFontSize: textSize,
        titleColor: roles.muted.light,
        titleFontSize: textSize,
        titleFontWeight: 400 as const,
        gridColor: roles.grid.light,
        domainColor: roles.axis.light,
        tickColor: roles.axis.light,
        tickSize: 4,
        titlePadding: 6,
      },
      axisX: { labelFlush: false }, // a label stands under its tick, at the ends too
      text: { color: roles.ink.light, fontSize: textSize },
      rule: { color: roles.axis.light },
    },
  };
}

/** The scale that gives every comparator its colour. */
export const comparatorColours = {
  domain: [...comparators],
  range: comparators.map((comparator) => looks[comparator].light),
};
export const comparatorShapes = {
  domain: [...comparators],
  range: comparators.map((comparator) => looks[comparator].shape),
};
export const comparatorDashes = {
  domain: [...comparators],
  range: comparators.map((comparator) =>
    looks[comparator].dash.length > 0 ? looks[comparator].dash : [1, 0],
  ),
};

/** A domain for values on a labelled axis: never without height, and never so narrow that ticks need many digits. */
export function readableDomain(values: readonly number[]): [number, number] {
  const [low, high] = [smallest(values), largest(values)];
  if (Number.isNaN(low)) return [0, 1];
  const size = Math.max(Math.abs(low), Math.abs(high));
  const least = size === 0 ? 0.1 : size * 0.01;
  if (high - low >= least) return [low, high];
  const middle = (low + high) / 2;
  // What is never below 0 is not shown as if it could be.
  const from = low >= 0 ? Math.max(0, middle - least / 2) : middle - least / 2;
  return [from, from + least];
}

/** A y axis of numbers whose labels fit into the room beside a plot, whatever their size. */
export function numberAxis(values: readonly number[]) {
  const size = Math.max(Math.abs(smallest(values)), Math.abs(largest(values)));
  const format = size >= 10_000 ? "~s" : size > 0 && size < 0.005 ? ".1~e" : undefined;
  return {
    tickCount: 4,
    labelLimit: 0,
    ...(format === undefined ? {} : { format }),
  };
}

/**
 * Few round ticks of an axis on which 0 must stand: the largest of 1, 2 and 5 times a power of ten that the longer side
 * has room for, and its multiples.
 */
export function ticksAroundZero([low, high]: readonly [number, number]): number[] {
  const reach = Math.max(Math.abs(low), Math.abs(high)) * 0.95;
  if (!(reach > 0)) return [0];
  const power = 10 ** Math.floor(Math.log10(reach));
  const step = (reach >= 5 * power ? 5 : reach >= 2 * power ? 2 : 1) * power;
  const [first, last] = [Math.ceil(low / step), Math.floor(high / step)];
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(6)),
  );
}

/** A domain that holds all values with some air around them. */
export function airyDomain(values: readonly number[], air = 0.1): [number, number] {
  const [low, high] = [smallest(values), largest(values)];
  if (Number.isNaN(low)) return [0, 1];
  const room = high > low ? (high - low) * air : Math.abs(high) * 0.1 || 0.5;
  return [low - room, high + room];
}

/** Draws the figure: its HTML with all panels and links, and the files beside it. */
export async function drawFigure(figure: Figure, embed: Embed): Promise<DrawnFigure> {
  const drawings = await drawPanels(figure, panelWidth);
  const columns = figure.rowOf ?? 2;
  const wide = columns === 3 ? thirdWidth * 3 + gap * 2 : panelWidth * 2 + gap;
  // A figure of one panel fills the page's width by being drawn wider, not larger.
  const page =
    columns === 3
      ? await drawPanels(figure, thirdWidth)
      : drawings.length === 1
        ? await drawPanels(figure, wide)
        : drawings;
  const svgs = journalWidths.map((millimetres): [string, string] => {
    const narrow = millimetres === journalWidths[0];
    const width = narrow ? panelWidth : wide;
    const all = narrow ? grid(drawings, 1, gap) : grid(page, columns, gap);
    const whole = figure.legend.length > 0 ? stack([legendDrawing(figure, width), all], 8) : all;
    const svg = standalone({ ...whole, width }, figure.title, millimetres);
    return [`${figure.name}-${millimetres}mm`, svg.replaceAll(font, printFont)];
  });
  const table = csv(figure.columnsOfCsv, figure.rows);
  const panels = figure.panels.map(
    ({ label }, index) => html`<div class="panel">${inline(drawings[index] as Drawing, label)}</div>`,
  );
  const files = [
    ...svgs.map(([name, svg], index) => ({
      name: `${name}.svg`,
      label: `SVG, ${journalWidths[index]} mm`,
      uri: embed("image/svg+xml", svg),
    })),
    { name: `${figure.name}.csv`, label: "CSV", uri: embed("text/csv", table) },
  ];
  return {
    name: figure.name,
    svgs,
    csv: table,
    html: html`<figure class="figure panels-${Math.min(3, figure.panels.length)}" id="${figure.name}">
<figcaption><h3>${figure.title}</h3><p>${figure.caption}</p></figcaption>
${legend(figure)}<div class="panels">${panels}</div>
${downloads("figures", files)}</figure>`,
  };
}

async function drawPanels(figure: Figure, width: number): Promise<Drawing[]> {
  const drawings: Drawing[] = [];
  for (const [index, { parts, title, subtitle }] of figure.panels.entries()) {
    const drawn: Drawing[] = title === undefined ? [] : [titleDrawing(title, subtitle ?? [], width)];
    for (const [part, { axis, spec }] of parts.entries()) {
      if (axis !== undefined) drawn.push(axisDrawing(axis, width));
      if (spec !== undefined) drawn.push(await draw(spec(width), `${figure.name}-${width}-${index}-${part}`));
    }
    drawings.push(stack(drawn));
  }
  return drawings;
}

/**
 * Links to a figure's or table's files: inside the page, for when it travels alone, and beside it. What found no room
 * in the page is only beside it.
 */
export function downloads(
  folder: "figures" | "tables",
  files: readonly { name: string; label: string; uri: string | null }[],
): Html {
  const saves = files.flatMap(({ name, label, uri }) =>
    uri === null ? [] : [html` <a download="${name}" href="${uri}">${label}</a>`],
  );
  const beside = files.map(({ name }) => html` <a href="${folder}/${name}">${name}</a>`);
  return html`<p class="downloads">${saves.length > 0 ? html`Save${saves} · in` : "In"} ${folder}/:${beside}</p>`;
}

/** A panel's title: drawn here, since Vega would make room for long ones by squeezing the plot. */
function titleDrawing(title: string, subtitle: readonly string[], width: number): Drawing {
  const line = (text: string, y: number, size: number, weight: number, fill: string) =>
    textMarkup(cutTo(text, width, size), y, size, weight, fill);
  return {
    width,
    height: 22 + 15 * subtitle.length,
    markup:
      line(title, 15, 13, 600, roles.ink.light) +
      subtitle.map((text, index) => line(text, 31 + 15 * index, textSize, 400, roles.muted.light)).join(""),
  };
}

/** The title of a y axis, above its plot. */
function axisDrawing(text: string, width: number): Drawing {
  return {
    width,
    height: 17,
    markup: textMarkup(cutTo(text, width, textSize), 13, textSize, 400, roles.muted.light),
  };
}

const textMarkup = (text: string, y: number, size: number, weight: number, fill: string): string =>
  `<text x="4" y="${y}" font-family="${font}" font-size="${size}px" font-weight="${weight}" fill="${fill}">${escapeText(text)}</text>`;

/** A text as long as fits, by the mean width of a letter. */
function cutTo(text: string, width: number, size: number): string {
  const letters = Math.floor((width - 8) / (size * 0.56));
  return text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
}

function keyMarkup(comparator: Comparator, key: Figure["key"]): string {
  const look = looks[comparator];
  const mark = `<g transform="translate(14,8) scale(4.5)"><path d="${look.shape}" fill="${look.light}"/></g>`;
  if (key === "point") return mark;
  const dash = look.dash.length > 0 ? ` stroke-dasharray="${look.dash.join(",")}"` : "";
  return `<line x1="0" x2="28" y1="8" y2="8" stroke="${look.light}" stroke-width="2"${dash}/>${mark}`;
}

function legend(figure: Figure): Html | null {
  if (figure.legend.length === 0) return null;
  const items = figure.legend.map(
    (comparator) =>
      html`<li>${inline({ width: 28, height: 16, markup: keyMarkup(comparator, figure.key) }, "")} ${comparatorLabel[comparator]}</li>`,
  );
  return html`<ul class="legend" aria-label="Legend">${items}</ul>
`;
}

function legendDrawing(figure: Figure, width: number): Drawing {
  let [x, y] = [4, 4];
  const items = figure.legend.map((comparator) => {
    const label = comparatorLabel[comparator];
    const size = 34 + label.length * 7 + 14;
    if (x > 4 && x + size > width) [x, y] = [4, y + 20];
    const item =
      `<g transform="translate(${x},${y})">${keyMarkup(comparator, figure.key)}` +
      `<text x="34" y="12" font-family="${font}" font-size="12px" fill="${roles.ink.light}">${label}</text></g>`;
    x += size;
    return item;
  });
  return { width, height: y + 20, markup: items.join("") };
}
