import { groupBy } from "../common/group-by.js";
import { type CsvRow, csv } from "./csv.js";
import type { Embed } from "./data-uri.js";
import { downloads } from "./figures/figure.js";
import { count } from "./format.js";
import { type Html, html } from "./html.js";
import { first, limits } from "./limits.js";

export interface Column {
  label: string;
  /** Columns side by side with one group share a heading above theirs. */
  group?: { label: string; class?: string };
  kind: "text" | "number" | "spread";
  /** Of words that may stand in two lines. */
  wraps?: boolean;
  /** Left out where the page is narrow: the row's heading says it there. */
  wideOnly?: boolean;
}

export interface TableCell {
  shown: string | Html;
  /** What the column is sorted by; null sorts last. Left out, the cell sorts by the text shown. */
  sort?: string | number | null;
  best?: boolean;
  /** Of a row's heading: what the columns that a narrow page leaves out say. */
  narrow?: Html;
  /** A word instead of a number: failed, pending. */
  quiet?: boolean;
  /** Why, for whoever points at it or has it read aloud. */
  note?: string;
}

export interface Table {
  /** Name of its file: letters, digits and hyphens. */
  name: string;
  caption: string;
  columns: Column[];
  /** The first cell of a row is its heading. */
  rows: TableCell[][];
  csvColumns: string[];
  csvRows: CsvRow[];
}

export interface DrawnTable {
  name: string;
  html: Html;
  csv: string;
}

/** A table of so many rows, with its heading, fits on a printed page. */
const rowsOfPage = 40;

/**
 * The table without columns that have nothing in any row; its heading column stays. A column that is left alone in its
 * group takes the group's heading.
 */
export function withoutEmptyColumns(table: Table): Table {
  const kept = table.columns.map(
    (_, index) => index === 0 || table.rows.some((row) => row[index] !== absent),
  );
  const columns = table.columns.filter((_, index) => kept[index]);
  const inGroup = groupBy(columns, ({ group }) => group?.label);
  return {
    ...table,
    columns: columns.map(({ group, ...column }) =>
      group === undefined || inGroup.get(group.label)?.length === 1
        ? { ...column, label: group?.label ?? column.label }
        : { ...column, group },
    ),
    rows: table.rows.map((row) => row.filter((_, index) => kept[index])),
  };
}

/**
 * A table that scrolls inside its own box, with its CSV beside it. The page's script makes the headings of its last
 * row sort; without the script it is simply a table.
 */
export function drawTable(table: Table, embed: Embed): DrawnTable {
  const contents = csv(table.csvColumns, table.csvRows);
  const grouped = table.columns.some((column) => column.group);
  const { shown, more } = first(table.rows, limits.rows);
  // In print, the more columns the smaller the type; what does not fit on a page is broken between rows.
  const size = table.columns.length > 13 ? " most" : table.columns.length > 9 ? " many" : "";
  const long = shown.length > rowsOfPage ? " long" : "";
  return {
    name: table.name,
    csv: contents,
    html: html`<div class="table${size}${long}" id="table-${table.name}">
<div class="scroll" role="region" aria-label="${table.caption}" tabindex="0"><table data-sortable>
<caption><span>${table.caption}</span></caption>
<thead>${grouped ? groupRow(table.columns) : null}<tr>${table.columns.map(
      (column) =>
        html`<th scope="col" class="${column.kind}${column.wideOnly ? " wide" : ""}" data-column>${column.label}</th>`,
    )}</tr></thead>
<tbody>${shown.map((row) => html`<tr>${row.map((cell, index) => drawCell(cell, table.columns[index] as Column, index))}</tr>\n`)}</tbody>
</table></div>
${more > 0 ? html`<p class="quiet">And ${count(more, "more row")}: tables/${table.name}.csv has them all.</p>` : null}
${downloads("tables", [{ name: `${table.name}.csv`, label: "CSV", uri: embed("text/csv", contents) }])}</div>`,
  };
}

function groupRow(columns: readonly Column[]): Html {
  const cells: Html[] = [];
  for (let start = 0; start < columns.length; ) {
    const group = columns[start]?.group;
    let end = start + 1;
    while (end < columns.length && group !== undefined && columns[end]?.group?.label === group.label) end++;
    cells.push(
      group === undefined
        ? html`<td${columns[start]?.wideOnly ? html` class="wide"` : null}></td>`
        : html`<th scope="colgroup" colspan="${end - start}" class="group ${group.class}">${group.label}</th>`,
    );
    start = end;
  }
  return html`<tr>${cells}</tr>`;
}

function drawCell(cell: TableCell, column: Column, index: number): Html {
  const sort = cell.sort === undefined ? null : html` data-sort="${cell.sort === null ? "" : cell.sort}"`;
  const classes = [
    column.kind,
    cell.best && "best",
    cell.quiet && "quiet",
    column.wideOnly && "wide",
    column.wraps && "words",
  ]
    .filter(Boolean)
    .join(" ");
  const note = cell.note === undefined ? null : html` title="${cell.note}"`;
  const spoken =
    cell.note === undefined || cell.quiet !== true ? null : html`<span class="spoken"> (${cell.note})</span>`;
  const contents = cell.best ? html`<strong>${cell.shown}</strong>` : cell.shown;
  return index === 0
    ? html`<th scope="row" class="${classes}"${sort}${note}>${contents}${cell.narrow ? html`<span class="narrow">${cell.narrow}</span>` : null}${spoken}</th>`
    : html`<td class="${classes}"${sort}${note}>${contents}${spoken}</td>`;
}

export const absent: TableCell = { shown: "—", sort: null, quiet: true };
