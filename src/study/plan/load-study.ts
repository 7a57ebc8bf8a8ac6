import { basename, dirname, resolve } from "node:path";
import { type Document, isMap, isNode, isPair, type LineCounter } from "yaml";
import { ManifestFiles } from "../../cohort/manifest-files.js";
import { requirePath } from "../../common/arguments.js";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { readRegularText } from "../../common/regular-file.js";
import { type Fault, pathName } from "../../common/validation.js";
import { mostStudyBytes, parseStudy } from "../config/parse-study.js";
import { whereSaid } from "../config/presets.js";
import { resolveSaid } from "../config/resolve.js";
import type { Study, StudyInput } from "../config/schema.js";
import { augmentationFaults } from "./augmentation-faults.js";
import { checkFiles } from "./check-files.js";
import type { CheckedStudy } from "./checked-study.js";
import { microBatchFaults } from "./micro-batch.js";
import { planStudy as layOut, type StudyPlan } from "./plan.js";

/**
 * Reads a study file (YAML; JSON is YAML too), checks all of it, and fills in what it leaves out. Also reads the
 * cohort's manifest, so that nothing wrong is found only after hours of work. Paths are relative to the file.
 *
 * @throws `BAD_CONFIG` naming every wrong field, its line, what was expected and what came; `BAD_MANIFEST`
 */
export async function loadStudy(path: string): Promise<Study> {
  return (await loadChecked(path)).study;
}

/** The same with what its files say. */
export async function loadChecked(path: string): Promise<CheckedStudy> {
  requirePath(path, "path");
  const file = resolve(path);
  const { document, lines, input } = parseStudy(await readText(file, path), path);
  return checkInput(input, dirname(file), new ManifestFiles(), basename(path), (fault) =>
    lineOf(document, lines, fault),
  );
}

/**
 * As `loadStudy`, for a study made in a script: an object, with paths relative to `base`.
 *
 * @throws `BAD_CONFIG` naming every wrong field; `BAD_MANIFEST`
 */
export const checkStudy = (
  input: StudyInput | Study,
  base = process.cwd(),
  files = new ManifestFiles(),
): Promise<CheckedStudy> => checkInput(input, base, files, inScript);

/** What a study is called that has no file. */
const inScript = "the study";

async function checkInput(
  input: unknown,
  base: string,
  files: ManifestFiles,
  name: string,
  lineOf: (fault: Fault) => number | null = () => null,
): Promise<CheckedStudy> {
  const found = laidOut(input, base, files);
  if ("faults" in found) throw badStudy(name, found.faults, lineOf);
  const checked = await checkFiles(found.study, found.plan, files);
  if (!("faults" in checked)) return checked;
  const faults = checked.faults.map((fault) => whereSaid(input, fault));
  throw badStudy(name, faults, lineOf);
}

/**
 * A study by itself and its cells: what it says is checked and filled in, and none of the files that it names is looked at.
 */
export function laidOut(
  input: unknown,
  base: string,
  files = new ManifestFiles(),
): { study: Study; plan: StudyPlan } | { faults: Fault[] } {
  const resolved = resolveSaid(input, base, files);
  if ("faults" in resolved) return resolved;
  const { study, said } = resolved;
  const plan = layOut(study);
  const faults = [...microBatchFaults(said, study, plan), ...augmentationFaults(said, study, plan)];
  return faults.length > 0 ? { faults } : { study, plan };
}

/**
 * Lays out the cells of a study. It reads no file and computes nothing.
 *
 * @param study from `loadStudy`, or an object as a study file would hold it
 * @throws `BAD_CONFIG` naming every wrong field
 */
export function planStudy(study: Study | StudyInput): StudyPlan {
  const found = laidOut(study, process.cwd());
  if ("faults" in found) throw badStudy(inScript, found.faults);
  return found.plan;
}

async function readText(file: string, path: string): Promise<string> {
  try {
    return await readRegularText(file, mostStudyBytes);
  } catch (error) {
    throw new TransferLimitsError("BAD_CONFIG", `The study ${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

/** So many faults are named; of the rest, how many there are. */
const mostFaults = 20;

function badStudy(
  name: string,
  faults: readonly Fault[],
  lineOf: (fault: Fault) => number | null = () => null,
): TransferLimitsError {
  const lines = faults.slice(0, mostFaults).map((fault) => {
    const line = lineOf(fault);
    const field = pathName(fault.path) || "the top level";
    return `  ${line === null ? "" : `line ${line}: `}${field}: ${fault.message}`;
  });
  if (faults.length > mostFaults) lines.push(`  and ${faults.length - mostFaults} more`);
  return new TransferLimitsError("BAD_CONFIG", `${name} is not a sound study:\n${lines.join("\n")}`);
}

/** The line of a fault's field, or of the nearest thing above it that stands in the file. */
function lineOf(document: Document, lines: LineCounter, { path, unknownKey }: Fault): number | null {
  const parts = unknownKey === null ? [...path] : [...path, unknownKey];
  for (; parts.length > 0; parts.pop()) {
    const parent = parts.length === 1 ? document.contents : document.getIn(parts.slice(0, -1), true);
    const last = parts.at(-1);
    const pair = isMap(parent)
      ? parent.items.find((item) => isPair(item) && keyOf(item.key) === last)
      : undefined;
    const node = pair ? pair.key : document.getIn(parts, true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return null;
}

const keyOf = (key: unknown): unknown =>
  typeof key === "object" && key !== null && "value" in key ? key.value : key;
