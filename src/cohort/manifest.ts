import { readFile, stat } from "node:fs/promises";
import { dirname, isAbsolute, relative, resolve } from "node:path";
import { CsvError } from "csv-parse";
import { parse } from "csv-parse/sync";
import { z } from "zod";
import { describe, messageOf, TransferLimitsError } from "../common/errors.js";
import { nearest } from "../common/validation.js";

/** The images and masks that a case may have; each is a column of the manifest. */
export const volumeRoles = ["t2w", "adc", "hbv", "gland", "zones", "lesion", "rectum"] as const;
export type VolumeRole = (typeof volumeRoles)[number];

export interface CohortCase {
  /** Letters, digits, `.`, `_` and `-`; safe as the name of a file. */
  id: string;
  /** Whose case it is: the case's id where the manifest has no such column. */
  patient: string;
  /** Absolute paths. */
  volumes: Partial<Record<VolumeRole, string>>;
  /** The case's highest PI-RADS, 1 to 5; null where unknown. */
  pirads: number | null;
  /** Columns that this package has no meaning for, as they stand. */
  extra: Record<string, string>;
  /** Where the case ends in the manifest, counted from 1. */
  line: number;
}

export interface Manifest {
  /** Absolute. */
  path: string;
  /** All columns, in the file's order. */
  columns: string[];
  /** In the file's order; at least one. */
  cases: CohortCase[];
}

const requiredColumns = ["case", "t2w"] as const;
const knownColumns = ["case", "patient", "pirads", ...volumeRoles] as const;

/** Far more than any cohort's list; a larger file is something else. */
const mostBytes = 64 * 1024 * 1024;
/** How many faults one error lists. */
const mostFaults = 20;

const rowSchema = z.object({
  case: z
    .string()
    .regex(
      /^(?!\.)[A-Za-z0-9._-]{1,128}$/,
      "a case id of 1 to 128 letters, digits, '.', '_' or '-' that does not start with '.'",
    ),
  patient: z
    .string()
    .regex(
      /^[^\p{Cc}]{1,128}$/u,
      "a patient's id of 1 to 128 characters (leave out the column if each case is a patient)",
    )
    .optional(),
  pirads: z
    .string()
    .regex(/^[1-5]?$/, "a whole number from 1 to 5, or nothing")
    .transform((text) => (text === "" ? null : Number(text)))
    .default(null),
  t2w: z.string().min(1, "the path of a T2W image"),
});

/**
 * Reads a cohort's manifest: a CSV file with one line a case. Columns `case` and `t2w` are required; `adc`, `hbv`,
 * `gland`, `zones`, `lesion`, `rectum`, `pirads` and `patient` may be absent, and all but `case`, `t2w` and `patient`
 * may be empty. Further columns are kept in `extra`. A byte-order mark, CRLF, quoted fields and blank lines are fine.
 *
 * A relative path is taken from the manifest's folder and must stay inside it; an absolute path may lead anywhere, as
 * the data of a cluster often lie elsewhere. Whether the images exist is not looked at: a missing one excludes its
 * case when it is read.
 *
 * @throws `BAD_MANIFEST`, naming line, column, what was expected and what came, for all that is wrong (up to 20 faults)
 */
export async function readManifest(path: string): Promise<Manifest> {
  const file = resolve(path);
  const [header, ...rows] = parseRecords(file, await readText(file));
  if (header === undefined)
    throw badManifest(file, ["it is empty: expected a line of column names, then a line a case"]);
  const columns = header.fields;
  refuse(file, columnFaults(columns));
  if (rows.length === 0)
    throw badManifest(file, ["it has column names but no case: expected at least one line below them"]);

  const faults: string[] = [];
  const cases: CohortCase[] = [];
  const lineOf = new Map<string, number>();
  for (const { fields, line } of rows) {
    if (fields.length !== columns.length) {
      faults.push(
        `line ${line}: expected ${columns.length} fields, one a column, but received ${fields.length}`,
      );
      continue;
    }
    const { case: found, faults: inRow } = readRow(dirname(file), columns, fields, line);
    faults.push(...inRow);
    if (found === undefined) continue;
    const before = lineOf.get(found.id);
    if (before !== undefined)
      faults.push(
        `line ${line}, column "case": expected an id of its own but received ${describe(found.id)}, which line ${before} has`,
      );
    else lineOf.set(found.id, line);
    cases.push(found);
  }
  refuse(file, faults);
  return { path: file, columns, cases };
}

function badManifest(path: string, faults: readonly string[], cause?: unknown): TransferLimitsError {
  const listed = faults.slice(0, mostFaults);
  if (faults.length > mostFaults) listed.push(`and ${faults.length - mostFaults} more`);
  const text = listed.length === 1 ? ` ${listed[0]}` : `\n${listed.map((fault) => `  ${fault}`).join("\n")}`;
  return new TransferLimitsError("BAD_MANIFEST", `The manifest ${path} is wrong:${text}`, { cause });
}

function refuse(path: string, faults: readonly string[]): void {
  if (faults.length > 0) throw badManifest(path, faults);
}

async function readText(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    const found = await stat(path);
    if (!found.isFile()) throw badManifest(path, ["it is not a regular file"]);
    if (found.size > mostBytes)
      throw badManifest(path, [`it has ${found.size} bytes; expected a CSV file of at most ${mostBytes}`]);
    bytes = await readFile(path);
  } catch (error) {
    if (error instanceof TransferLimitsError) throw error;
    throw badManifest(path, [`it cannot be read: ${messageOf(error)}`], error);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw badManifest(path, ["it is not a text in UTF-8: save it as CSV (UTF-8)"], error);
  }
}

interface CsvRecord {
  fields: string[];
  line: number;
}

function parseRecords(path: string, text: string): CsvRecord[] {
  try {
    const records = parse(text, {
      bom: true,
      info: true,
      trim: true,
      relax_column_count: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
    }) as unknown as { record: string[]; info: { lines: number } }[];
    return records.map(({ record, info }) => ({ fields: record, line: info.lines }));
  } catch (error) {
    if (error instanceof CsvError) throw badManifest(path, [`it is not CSV: ${error.message}`], error);
    throw error;
  }
}

function columnFaults(columns: readonly string[]): string[] {
  const faults: string[] = [];
  for (const [index, column] of columns.entries()) {
    if (column === "") faults.push(`column ${index + 1} has no name`);
    else if (columns.indexOf(column) < index) faults.push(`column ${describe(column)} stands there twice`);
  }
  for (const required of requiredColumns) {
    if (columns.includes(required)) continue;
    const unknown = columns.filter((column) => !(knownColumns as readonly string[]).includes(column));
    const near = nearest(required, unknown);
    faults.push(
      `column ${describe(required)} is missing${near === null ? "" : `: is it the one named ${describe(near)}?`}; ` +
        `columns there: ${columns.map(describe).join(", ")}`,
    );
  }
  return faults;
}

function readRow(
  folder: string,
  columns: readonly string[],
  fields: readonly string[],
  line: number,
): { case?: CohortCase; faults: string[] } {
  const values = new Map(columns.map((column, index) => [column, fields[index] as string]));
  const faults: string[] = [];
  const fault = (column: string, wanted: string) =>
    faults.push(
      `line ${line}, column "${column}": expected ${wanted} but received ${describe(values.get(column) ?? "")}`,
    );

  const row = rowSchema.safeParse(Object.fromEntries(values));
  for (const issue of row.error?.issues ?? []) fault(String(issue.path[0]), issue.message);

  const volumes: CohortCase["volumes"] = {};
  for (const role of volumeRoles) {
    const text = values.get(role) ?? "";
    if (text === "") continue;
    const place = resolvePath(folder, text);
    if (place === undefined) fault(role, "a path inside the manifest's folder, or an absolute path,");
    else volumes[role] = place;
  }
  if (!row.success || faults.length > 0) return { faults };
  const { case: id, patient = id, pirads } = row.data;
  const extra = Object.fromEntries(
    [...values].filter(([column]) => !(knownColumns as readonly string[]).includes(column)),
  );
  return { case: { id, patient, volumes, pirads, extra, line }, faults };
}

/** Undefined for a relative path that leaves the folder, or what no file can be called. */
function resolvePath(folder: string, text: string): string | undefined {
  if (text.includes("\0")) return undefined;
  if (isAbsolute(text)) return resolve(text);
  const place = resolve(folder, text);
  const way = relative(folder, place);
  return way === "" || way === ".." || way.startsWith("../") ? undefined : place;
}
