import type { TopLevelSpec } from "vega-lite";
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
  parts: TopLevelSpec[];
}

/** A figure before it is drawn. Its rows are exactly the points drawn. */
export interface Figure {
  /** Name of its files: letters, digits and hyphens. */
  name: string;
  title: string;
  caption: Html;
  panels: Panel[];
  /** Panels side by side in the SVG file; in the page they flow. */
  columns: number;
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
  svg: string;
  csv: string;
}

export const panelWidth = 320;
/** Room for the labels of a y axis, the same everywhere, so that panels line up. */
export const axisRoom = 44;

const font = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

/** Size, fonts and quiet axes that all panels share. */
export function panel(height: number, width = panelWidth) {
  return {
    width,
    height,
    autosize: { type: "fit" as const, contains: "padding" as const },
    padding: { left: 2, right: 8, top: 4, bottom: 4 },
    config: {
      aria: false,
      background: "transparent",
      font,
      view: { stroke: null },
      axis: {
        labelColor: roles.muted.light,
        labelFontSize: 11,
        titleColor: roles.muted.light,
        titleFontSize: 11.5,
        titleFontWeight: 400 as const,
        gridColor: roles.grid.light,
        domainColor: roles.axis.light,
        tickColor: roles.axis.light,
        tickSize: 4,
        titlePadding: 6,
      },
      text: { color: roles.ink.light, fontSize: 11 },
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

/** A domain that holds all values with some air around them. */
export function airyDomain(values: readonly number[], air = 0.1): [number, number] {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const room = high > low ? (high - low) * air : Math.abs(high) * 0.1 || 0.5;
  return [low - room, high + room];
}

/** Draws the figure: its HTML with all panels and links, and the two files beside it. */
export async function drawFigure(figure: Figure, embed: Embed): Promise<DrawnFigure> {
  const drawings: Drawing[] = [];
  for (const [index, { parts, title, subtitle }] of figure.panels.entries()) {
    const drawn: Drawing[] = title === undefined ? [] : [titleDrawing(title, subtitle ?? [])];
    for (const [part, spec] of parts.entries())
      drawn.push(await draw(spec, `${figure.name}-${index}-${part}`));
    drawings.push(stack(drawn));
  }
  const all = grid(drawings, figure.columns);
  const whole = figure.legend.length > 0 ? stack([legendDrawing(figure), all], 8) : all;
  const svg = standalone(whole, figure.title);
  const table = csv(figure.columnsOfCsv, figure.rows);
  const panels = figure.panels.map(
    ({ label }, index) => html`<div class="panel">${inline(drawings[index] as Drawing, label)}</div>`,
  );
  return {
    name: figure.name,
    svg,
    csv: table,
    html: html`<figure class="figure panels-${Math.min(3, figure.panels.length)}" id="${figure.name}">
<figcaption><h3>${figure.title}</h3><p>${figure.caption}</p></figcaption>
${legend(figure)}<div class="panels">${panels}</div>
${downloads("figures", figure.name, [
  ["svg", embed("image/svg+xml", svg)],
  ["csv", embed("text/csv", table)],
])}</figure>`,
  };
}

/**
 * Links to a figure's or table's files: inside the page, for when it travels alone, and beside it. What found no room
 * in the page is only beside it.
 */
export function downloads(
  folder: "figures" | "tables",
  name: string,
  files: readonly [extension: string, uri: string | null][],
): Html {
  const saves = files.flatMap(([extension, uri]) =>
    uri === null
      ? []
      : [html` <a download="${name}.${extension}" href="${uri}">${extension.toUpperCase()}</a>`],
  );
  const beside = files.map(
    ([extension]) => html` <a href="${folder}/${name}.${extension}">${folder}/${name}.${extension}</a>`,
  );
  return html`<p class="downloads">${saves.length > 0 ? html`Save${saves} · beside` : "Beside"} this page:${beside}</p>`;
}

/** A panel's title: drawn here, since Vega would make room for long ones by squeezing the plot. */
function titleDrawing(title: string, subtitle: readonly string[]): Drawing {
  const line = (text: string, y: number, size: number, weight: number, fill: string) =>
    `<text x="4" y="${y}" font-family="${font}" font-size="${size}px" font-weight="${weight}" fill="${fill}">${escapeText(text)}</text>`;
  const shown = title.length > 42 ? `${title.slice(0, 41)}…` : title;
  return {
    width: panelWidth,
    height: 22 + 15 * subtitle.length,
    markup:
      line(shown, 15, 13, 600, roles.ink.light) +
      subtitle.map((text, index) => line(text, 31 + 15 * index, 11.5, 400, roles.muted.light)).join(""),
  };
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

function legendDrawing(figure: Figure): Drawing {
  let x = 4;
  const items = figure.legend.map((comparator) => {
    const label = comparatorLabel[comparator];
    const item =
      `<g transform="translate(${x},4)">${keyMarkup(comparator, figure.key)}` +
      `<text x="34" y="12" font-family="${font}" font-size="12px" fill="${roles.ink.light}">${label}</text></g>`;
    x += 34 + label.length * 7 + 18;
    return item;
  });
  return { width: x, height: 24, markup: items.join("") };
}
