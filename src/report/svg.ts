import type { Loader } from "vega";
import type { TopLevelSpec } from "vega-lite";
import { TransferLimitsError } from "../common/errors.js";
import { largest } from "../common/numbers.js";
import { escapeText, type Html, trusted } from "./html.js";
import { looks, roles } from "./palette.js";
import { shrink } from "./shrink.js";

/** A piece of SVG: its size in pixels and its markup, coloured for a white ground. */
export interface Drawing {
  width: number;
  height: number;
  markup: string;
}

/** Sixty packages, read when the first figure is drawn: most of what imports this one draws none. */
async function plotting() {
  const [vega, { compile }] = await Promise.all([import("vega"), import("vega-lite")]);
  // A figure is drawn from what its specification holds: nothing is ever loaded.
  const load = () => Promise.reject(new TransferLimitsError("INTERNAL", "A figure asked for a file"));
  return { vega, compile, loader: { ...vega.loader(), load } as unknown as Loader };
}

/**
 * Draws a Vega-Lite specification without a browser. `id` goes before every id in the markup, so that many drawings
 * can stand in one page.
 */
export async function draw(spec: TopLevelSpec, id: string): Promise<Drawing> {
  const { vega, compile, loader } = await plotting();
  const view = new vega.View(vega.parse(compile(spec).spec), {
    renderer: "none",
    loader,
    logLevel: vega.Error,
  });
  try {
    const svg = await view.toSVG();
    const outer = /^<svg [^>]*?width="([\d.]+)" height="([\d.]+)"[^>]*>(.*)<\/svg>$/s.exec(svg);
    if (!outer) throw new TransferLimitsError("INTERNAL", `Unexpected SVG from Vega: ${svg.slice(0, 200)}`);
    const ids = [...new Set([...svg.matchAll(/ id="([^"]+)"/g)].map((match) => match[1] as string))];
    let markup = outer[3] as string;
    ids.forEach((old, index) => {
      markup = markup
        .replaceAll(` id="${old}"`, ` id="${id}-${index}"`)
        .replaceAll(`url(#${old})`, `url(#${id}-${index})`);
    });
    return { width: Number(outer[1]), height: Number(outer[2]), markup: shrink(markup, id) };
  } finally {
    view.finalize();
  }
}

/** Drawings beneath each other, flush left. */
export function stack(drawings: readonly Drawing[], gap = 0): Drawing {
  let y = 0;
  const parts = drawings.map((drawing) => {
    const part = place(drawing, 0, y);
    y += drawing.height + gap;
    return part;
  });
  return {
    width: largest([0, ...drawings.map((drawing) => drawing.width)]),
    height: Math.max(0, y - gap),
    markup: parts.join(""),
  };
}

/** Drawings in rows of `columns`. */
export function grid(drawings: readonly Drawing[], columns: number, gap = 12): Drawing {
  const rows: Drawing[] = [];
  for (let start = 0; start < drawings.length; start += columns) {
    let x = 0;
    const row = drawings.slice(start, start + columns);
    const markup = row.map((drawing) => {
      const part = place(drawing, x, 0);
      x += drawing.width + gap;
      return part;
    });
    rows.push({
      width: x - gap,
      height: largest(row.map((drawing) => drawing.height)),
      markup: markup.join(""),
    });
  }
  return stack(rows, gap);
}

function place(drawing: Drawing, x: number, y: number): string {
  return `<g transform="translate(${x},${y})">${drawing.markup}</g>`;
}

/** A drawing as a file of its own, so many millimetres wide: white ground, and what it shows as its title. */
export function standalone(drawing: Drawing, title: string, millimetres: number): string {
  const { width, height, markup } = drawing;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${millimetres}mm" ` +
    `height="${Math.round((millimetres * height * 100) / width) / 100}mm" viewBox="0 0 ${width} ${height}">` +
    `<title>${escapeText(title)}</title><rect width="100%" height="100%" fill="#ffffff"/>${markup}</svg>\n`
  );
}

const themed = new Map<string, string>([
  ...Object.entries(looks).map(([name, look]): [string, string] => [look.light, `var(--${name})`]),
  ...Object.entries(roles).map(([name, role]): [string, string] => [role.light, `var(--${name})`]),
]);

/** A drawing inside the page: its colours follow the page's theme, and `label` is what a screen reader says. */
export function inline(drawing: Drawing, label: string): Html {
  const { width, height } = drawing;
  const markup = drawing.markup.replace(
    / (fill|stroke)="(#[0-9a-f]{6})"/g,
    (whole, attribute: string, colour: string) =>
      themed.has(colour) ? ` ${attribute}="${themed.get(colour)}"` : whole,
  );
  return trusted(
    `<svg class="drawing" role="img" aria-label="${escapeText(label)}" width="${width}" height="${height}" ` +
      `viewBox="0 0 ${width} ${height}">${markup}</svg>`,
  );
}
