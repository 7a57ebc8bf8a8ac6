import { readFile } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { type Document, isMap, isNode, isPair, LineCounter, parseDocument } from "yaml";
import { readExclusionList } from "../cohort/exclusion-list.js";
import { readManifest } from "../cohort/manifest.js";
import { makeSplits } from "../cohort/splits.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { type Fault, pathName } from "../common/validation.js";
import { openCheckpoint } from "../models/checkpoints/checkpoint-file.js";
import { exposureOf, leak } from "./exposure.js";
import { divideCohorts, judgedOn } from "./prepare.js";
import { resolveStudy } from "./resolve.js";
import type { Study, StudyInput } from "./schema.js";

/**
 * Reads a study file (YAML; JSON is YAML too), checks all of it, and fills in what it leaves out. Also reads the
 * cohort's manifest, so that nothing wrong is found only after hours of work. Paths are relative to the file.
 *
 * @throws `BAD_CONFIG` naming every wrong field, its line, what was expected and what came; `BAD_MANIFEST`
 */
export async function loadStudy(path: string): Promise<Study> {
  const file = resolve(path);
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw new TransferLimitsError("BAD_CONFIG", `The study ${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const input = plainValue(document, lines, path);
  const result = resolveStudy(input, dirname(file));
  if ("faults" in result)
    throw badStudy(basename(path), result.faults, (fault) => lineOf(document, lines, fault));
  await checkFiles(result.study, (faults) =>
    badStudy(basename(path), faults, (fault) => lineOf(document, lines, fault)),
  );
  return result.study;
}

/**
 * As `loadStudy`, for a study made in a script: an object, with paths relative to `base`.
 *
 * @throws `BAD_CONFIG` naming every wrong field; `BAD_MANIFEST`
 */
export async function checkStudy(input: StudyInput | Study, base = process.cwd()): Promise<Study> {
  const result = resolveStudy(input, base);
  if ("faults" in result) throw badStudy("the study", result.faults);
  await checkFiles(result.study, (faults) => badStudy("the study", faults));
  return result.study;
}

function plainValue(document: Document, lines: LineCounter, path: string): unknown {
  const [error] = document.errors;
  if (error) {
    const { line, col } = lines.linePos(error.pos[0]);
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `${path} is not YAML: line ${line}, column ${col}: ${error.message}`,
    );
  }
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new TransferLimitsError("BAD_CONFIG", `${path} is not a study: ${messageOf(cause)}`, { cause });
  }
}

/** Checks what the study points at: the manifest and its patients, other manifests, and files of weights. */
async function checkFiles(study: Study, refuse: (faults: Fault[]) => TransferLimitsError): Promise<void> {
  const faults: Fault[] = [];
  const fault = (path: PropertyKey[], message: string) => faults.push({ path, message, unknownKey: null });

  const checkSplit = async (path: PropertyKey[], manifest: string, split: Study["split"]) => {
    const { cases } = await readManifest(manifest);
    try {
      makeSplits(cases, split, study.seed);
    } catch (error) {
      fault(path, messageOf(error));
    }
  };
  await checkSplit(["split"], study.cohort.manifest, study.split);
  for (const [index, { cohort }] of study.tasks.entries()) {
    if (cohort) await checkSplit(["tasks", index, "cohort", "split"], cohort.manifest, cohort.split);
  }
  for (const [index, model] of study.models.entries()) {
    if (model.pretrain?.manifest) await readManifest(model.pretrain.manifest);
    if (model.pretrain?.exclude) await readExclusionList(model.pretrain.exclude);
    if (model.weights === undefined) continue;
    try {
      await openCheckpoint(model.weights);
    } catch (error) {
      fault(["models", index, "weights"], `expected a file of weights but received: ${messageOf(error)}`);
    }
  }
  if (faults.length === 0) await checkWeights(study, fault);
  if (faults.length > 0) throw refuse(faults);
}

/** Weights must not have seen patients that the study judges on, unless a model allows it. */
async function checkWeights(
  study: Study,
  fault: (path: PropertyKey[], message: string) => void,
): Promise<void> {
  if (study.models.every(({ weights }) => weights === undefined)) return;
  const exposures = await exposureOf(study, judgedOn(await divideCohorts(study)));
  for (const [index, { name, weights, allowOverlap }] of study.models.entries()) {
    const exposure = exposures.find(({ model }) => model === name);
    if (weights === undefined || exposure === undefined || allowOverlap) continue;
    const message = leak(exposure, weights);
    if (message !== null) fault(["models", index, "weights"], message);
  }
}

function badStudy(
  name: string,
  faults: readonly Fault[],
  lineOf: (fault: Fault) => number | null = () => null,
): TransferLimitsError {
  const lines = faults.map((fault) => {
    const line = lineOf(fault);
    const field = pathName(fault.path) || "the top level";
    return `  ${line === null ? "" : `line ${line}: `}${field}: ${fault.message}`;
  });
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
