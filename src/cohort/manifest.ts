import { dirname, isAbsolute, relative, resolve } from "node:path";
import { CsvError } from "csv-parse";
import { parse } from "csv-parse/sync";
import { z } from "zod";
import { describe, messageOf, TransferLimitsError } from "../common/errors.js";
import { readRegularFile } from "../common/regular-file.js";
import {
  type CaseLabels,
  type CohortColumns,
  columnFaults,
  knownColumns,
  mostColumns,
  type VolumeRole,
  volumeRolesOf,
} from "./columns.js";
import { type LabelRead, readLabels } from "./labels.js";
import type { CaseFacts } from "./needs.js";
import { prostateColumns } from "./presets/prostate.js";

export type { VolumeRole } from "./columns.js";

export interface CohortCase {
  /** Letters, digits, `.`, `_` and `-`; safe as the name of a file. */
  id: string;
  /** Whose case it is: the case's id where the manifest has no such column. */
  patient: string;
  /** Absolute paths. */
  volumes: Readonly<Record<VolumeRole, string>>;
  /** By name, such as the case's highest PI-RADS. */
  labels: CaseLabels;
  /** Columns that this package has no meaning for, as they stand. */
  extra: Record<string, string>;
  /** Where the case ends in the manifest, counted from 1. */
  line: number;
}

/** What the manifest says of a case; whether its masks show anything is known when they are read. */
export const caseFacts = ({ volumes, labels }: Pick<CohortCase, "volumes" | "labels">): CaseFacts => ({
  roles: Object.keys(volumes),
  labels,
});

export interface Manifest {
  /** Absolute. */
  path: string;
  /** All columns, in the file's order. */
  columns: string[];
  /** In the file's order; at least one. */
  cases: CohortCase[];
}

/** What a manifest may ask for, so that what is something else is refused at once. A study may raise all of it. */
export interface ManifestLimits {
  /** Of the file. */
  bytes: number;
  cases: number;
  columns: number;
}

/** Far more than any cohort of volumes has. */
export const defaultManifestLimits: Readonly<ManifestLimits> = {
  bytes: 64 * 1024 * 1024,
  cases: 100_000,
  columns: mostColumns,
};

/** Where a limit can be changed, for a message's end. */
const raised = (name: keyof ManifestLimits) =>
  `if it is to be trusted, raise cohort.manifestLimits.${name} of the study`;
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
});

/**
 * Reads a cohort's manifest: a CSV file with one line a case. The columns `case` and that of the reference (`t2w` of a
 * prostate's) are required; `patient`, other images, masks and labels may be absent, and all but `case`, the reference and
 * `patient` may be empty. Further columns are kept in `extra`, but for those that are nearly one of these (`patient_id`, `PI-RADS`):
 * what is ignored by mistake changes the results. Fields are separated by commas, semicolons or tabs. A byte-order mark,
 * CRLF, quoted fields and blank lines are fine.
 *
 * A relative path is taken from the manifest's folder and must stay inside it; an absolute path may lead anywhere, as
 * the data of a cluster often lie elsewhere. Whether the images exist is not looked at: a missing one excludes its
 * case when it is read.
 *
 * @throws `BAD_MANIFEST`, naming line, column, what was expected and what came, for all that is wrong (up to 20 faults)
 */
export async function readManifest(
  path: string,
  limits: Readonly<ManifestLimits> = defaultManifestLimits,
  ofCohort: CohortColumns = prostateColumns,
): Promise<Manifest> {
  const file = resolve(path);
  return parseManifest(file, await readBytes(file, limits.bytes), limits, ofCohort);
}

/** The same of what a file holds. @param file its absolute path */
export function parseManifest(
  file: string,
  bytes: Uint8Array,
  limits: Readonly<ManifestLimits> = defaultManifestLimits,
  ofCohort: CohortColumns = prostateColumns,
): Manifest {
  const [header, ...rows] = parseRecords(file, textOf(file, bytes), limits.cases);
  if (header === undefined)
    throw badManifest(file, ["it is empty: expected a line of column names, then a line a case"]);
  const columns = header.fields;
  if (columns.length > limits.columns)
    throw badManifest(file, [
      `it has ${columns.length} columns; expected at most ${limits.columns}; ${raised("columns")}`,
    ]);
  refuse(file, columnFaults(columns, ofCohort));
  if (rows.length === 0)
    throw badManifest(file, ["it has column names but no case: expected at least one line below them"]);

  if (rows.length > limits.cases)
    throw badManifest(file, [
      `it has more than the ${limits.cases} cases that it may have; ${raised("cases")}`,
    ]);

  const faults = new FaultList();
  const cases: CohortCase[] = [];
  const lineOf = new Map<string, number>();
  for (const { fields, line } of rows) {
    if (fields.length !== columns.length) {
      faults.add(
        `line ${line}: expected ${columns.length} fields, one a column, but received ${fields.length}`,
      );
      continue;
    }
    const { case: found, faults: inRow } = readRow(dirname(file), columns, fields, line, ofCohort);
    faults.add(...inRow);
    if (found === undefined) continue;
    const before = lineOf.get(found.id);
    if (before !== undefined)
      faults.add(
        `line ${line}, column "case": expected an id of its own but received ${describe(found.id)}, which line ${before} has`,
      );
    else lineOf.set(found.id, line);
    cases.push(found);
  }
  if (faults.count > 0) throw badManifest(file, faults.listed());
  return { path: file, columns, cases };
}

/** Columns that have a value in any line of a manifest. @throws `BAD_MANIFEST` where its text is no table */
export function filledColumns(file: string, text: string): string[] {
  const [header, ...rows] = parseRecords(file, text, defaultManifestLimits.cases);
  return (header?.fields ?? []).filter((_, index) => rows.some(({ fields }) => (fields[index] ?? "") !== ""));
}

/** The first of any number of faults, and how many there are: a file of a million wrong lines has as many. */
class FaultList {
  readonly #first: string[] = [];
  count = 0;

  add(...faults: readonly string[]): void {
    this.count += faults.length;
    for (const fault of faults) if (this.#first.length < mostFaults) this.#first.push(fault);
  }

  listed(): string[] {
    const more = this.count - this.#first.length;
    return more > 0 ? [...this.#first, `and ${more} more`] : this.#first;
  }
}

function badManifest(path: string, listed: readonly string[], cause?: unknown): TransferLimitsError {
  const text = listed.length === 1 ? ` ${listed[0]}` : `\n${listed.map((fault) => `  ${fault}`).join("\n")}`;
  return new TransferLimitsError("BAD_MANIFEST", `The manifest ${path} is wrong:${text}`, { cause });
}

function refuse(path: string, found: readonly string[]): void {
  const faults = new FaultList();
  faults.add(...found);
  if (faults.count > 0) throw badManifest(path, faults.listed());
}

async function readBytes(path: string, mostBytes: number): Promise<Buffer> {
  try {
    return await readRegularFile(path, mostBytes, raised("bytes"));
  } catch (error) {
    throw badManifest(path, [`it cannot be read: ${messageOf(error)}`], error);
  }
}

function textOf(path: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw badManifest(path, ["it is not a text in UTF-8: save it as CSV (UTF-8)"], error);
  }
}

const separators = [",", ";", "\t"] as const;

/**
 * What separates the fields: of comma, semicolon and tab the one that divides the line of column names into most. Where
 * that is not the first line: Excel writes `sep=;` above it.
 */
function separatorOf(path: string, text: string): { separator: string; headerLine: number } {
  const first = /[^\s\uFEFF][^\n]*/.exec(text);
  const named = /^"?sep=([,;\t])"?\s*$/i.exec(first?.[0] ?? "");
  if (named)
    return { separator: named[1] as string, headerLine: text.slice(0, first?.index).split("\n").length + 1 };
  const header = (first?.[0] ?? "").replace(/"(?:[^"]|"")*"/g, "");
  const fields = (separator: string) => header.split(separator).length;
  const separator = separators.reduce((best, other) => (fields(other) > fields(best) ? other : best));
  if (fields(separator) === 1 && fields("|") > 1)
    throw badManifest(path, [
      'its column names are separated by "|": expected commas, semicolons or tabs between the fields',
    ]);
  return { separator, headerLine: 1 };
}

interface CsvRecord {
  fields: string[];
  line: number;
}

function parseRecords(path: string, text: string, mostCases: number): CsvRecord[] {
  const { separator, headerLine } = separatorOf(path, text);
  // The parser makes an error of each line with too many or too few fields, also of those that it lets pass.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    const records = parse(text, {
      bom: true,
      delimiter: separator,
      from_line: headerLine,
      info: true,
      trim: true,
      relax_column_count: true,
      skip_empty_lines: true,
      skip_records_with_empty_values: true,
      to: mostCases + 2,
    }) as unknown as { record: string[]; info: { lines: number } }[];
    return records.map(({ record, info }) => ({ fields: record, line: info.lines }));
  } catch (error) {
    if (error instanceof CsvError) throw badManifest(path, [`it is not CSV: ${error.message}`], error);
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

function readRow(
  folder: string,
  columns: readonly string[],
  fields: readonly string[],
  line: number,
  ofCohort: CohortColumns,
): { case?: CohortCase; faults: string[] } {
  const values = new Map(columns.map((column, index) => [column, fields[index] as string]));
  const faults: string[] = [];
  const fault = (column: string, wanted: string) =>
    faults.push(
      `line ${line}, column "${column}": expected ${wanted} but received ${describe(values.get(column) ?? "")}`,
    );

  const row = rowSchema.safeParse(Object.fromEntries(values));
  for (const issue of row.error?.issues ?? []) fault(String(issue.path[0]), issue.message);

  const { labels, wrong }: LabelRead = readLabels(values, ofCohort);
  for (const { column, expected } of wrong) fault(column, expected);
  const { reference, images } = ofCohort;
  const volumes: Record<VolumeRole, string> = {};
  for (const role of volumeRolesOf(ofCohort)) {
    const text = values.get(role) ?? "";
    if (text === "") {
      if (role === reference)
        fault(role, `the path of a ${images[role]?.words.replace(/ volume$/, " image")}`);
      continue;
    }
    const place = resolvePath(folder, text);
    if (place === undefined) fault(role, "a path inside the manifest's folder, or an absolute path,");
    else volumes[role] = place;
  }
  if (!row.success || faults.length > 0) return { faults };
  const { case: id, patient = id } = row.data;
  const known = knownColumns(ofCohort);
  const extra = Object.fromEntries([...values].filter(([column]) => !known.includes(column)));
  return { case: { id, patient, volumes, labels, extra, line }, faults };
}

/** Undefined for a relative path that leaves the folder, or what no file can be called. */
function resolvePath(folder: string, text: string): string | undefined {
  if (text.includes("\0")) return undefined;
  if (isAbsolute(text)) return resolve(text);
  const place = resolve(folder, text);
  const way = relative(folder, place);
  return way === "" || way === ".." || way.startsWith("../") ? undefined : place;
}
