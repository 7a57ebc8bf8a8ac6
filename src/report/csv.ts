import { plain } from "./html.js";

export type CsvValue = string | number | null;
/** One line of a table; every line of one table has the same keys, in the same order. */
export type CsvRow = Record<string, CsvValue>;

/**
 * Rows as RFC 4180 CSV with a header. Numbers are written in full precision, null and non-finite numbers as nothing.
 * Text that a spreadsheet would run as a formula (it begins with = + - @) gets a leading apostrophe.
 */
export function csv(columns: readonly string[], rows: readonly CsvRow[]): string {
  const lines = [
    columns.map(field),
    ...rows.map((row) => columns.map((column) => field(row[column] ?? null))),
  ];
  return `${lines.map((line) => line.join(",")).join("\n")}\n`;
}

function field(value: CsvValue): string {
  if (value === null) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = plain(/^[=+\-@\t\r]/.test(value) ? `'${value}` : value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
