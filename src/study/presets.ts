import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { defaultManifestLimits } from "../cohort/manifest.js";
import { splitSchema } from "../cohort/schema.js";
import { describe } from "../common/errors.js";
import { readRegularFileSync } from "../common/regular-file.js";
import { type Fault, faultsOf, section, suggestion } from "../common/validation.js";
import { comparators, paperTasks } from "../common/vocabulary.js";
import type { StudyInput } from "./schema.js";

const file = z.string().min(1);

/** What a study file says of the `paper` preset; everything else in it changes what the preset says. */
export const paperSchema = section({
  /**
   * The CSVs of the two cohorts: PROMIS, and the few-shot pelvic set of distortion correction. Where there is one cohort
   * alone, `fewShot` is null: distortion correction then takes the study's as the other tasks do.
   */
  manifests: section({ promis: file, fewShot: file.nullable() }),
  /** Patients of the few-shot pelvic set in each set; those of PROMIS are the study's `split`. */
  fewShotSplit: splitSchema.optional(),
  /** Encoders that were pretrained elsewhere, by model; the others are pretrained on the study's training set. */
  weights: section({ profound: file.optional(), provicnet: file.optional() }).prefault({}),
});

type PaperInput = z.output<typeof paperSchema>;

/** Patients of PROMIS in each set, in tasks 1, 2, 3 and 5. */
export const promisSplit = { train: 555, validation: 37, test: 148 } as const satisfies z.input<
  typeof splitSchema
>;
/** Patients of the few-shot pelvic set in each set, in distortion correction. */
export const fewShotSplit = { train: 330, validation: 82, test: 177 } as const satisfies z.input<
  typeof splitSchema
>;

const presets = { paper };
type PresetName = keyof typeof presets;
const presetNames = Object.keys(presets) as PresetName[];

/** The paper's study: both foundation models, every task and comparator, at the published sizes. */
function paper({ manifests, weights, fewShotSplit: split = fewShotSplit }: PaperInput): StudyInput {
  const { promis, fewShot } = manifests;
  const encoder = (path: string | undefined) => (path === undefined ? { pretrain: {} } : { weights: path });
  return {
    name: "paper",
    cohort: { manifest: promis, voxels: [200, 200, 96] },
    split: promisSplit,
    models: [
      { name: "profound", encoder: "profound-tiny", finetune: "full", ...encoder(weights.profound) },
      { name: "provicnet", encoder: "provicnet-small", finetune: "partial", ...encoder(weights.provicnet) },
    ],
    tasks: paperTasks.map((kind) =>
      kind === "distortion-correction" && fewShot !== null
        ? { kind, cohort: { manifest: fewShot, split } }
        : kind,
    ),
    comparators: [...comparators],
    training: { epochs: 100, learningRate: 1e-4, schedule: "cosine" },
  };
}

/**
 * A study file that names a preset becomes the study that the preset stands for, with what else the file says in
 * place of the preset's: sections are merged field by field, lists are replaced. Any other input stays as it is.
 */
export function expandPreset(input: unknown, base: string): { input: unknown } | { faults: Fault[] } {
  if (!isRecord(input) || input.preset === undefined) return { input };
  const { preset, manifests, weights, fewShotSplit: split, ...changes } = input;
  const name = presetNames.find((known) => known === preset);
  if (name === undefined) {
    const near = typeof preset === "string" ? suggestion(preset, presetNames) : "";
    const message = `expected the name of a preset but received ${describe(preset)}${near}`;
    return { faults: [{ path: ["preset"], message, unknownKey: null }] };
  }
  const own = {
    manifests,
    ...(weights === undefined ? {} : { weights }),
    ...(split === undefined ? {} : { fewShotSplit: split }),
  };
  const parsed = paperSchema.safeParse(own);
  if (!parsed.success) return { faults: faultsOf(parsed.error, own) };
  const { promis, fewShot } = parsed.data.manifests;
  if (fewShot !== null && sameManifest(resolve(base, promis), resolve(base, fewShot))) {
    const message =
      `expected the manifest of another cohort than promis has, but received the same, ${describe(fewShot)}: the preset ` +
      "would divide its patients twice, differently. With one cohort alone write fewShot: null; distortion correction " +
      "then takes the study's cohort and split, as the other tasks do";
    return { faults: [{ path: ["manifests", "fewShot"], message, unknownKey: null }] };
  }
  return { input: merge(presets[name](parsed.data), changes) };
}

/** Whether two paths lead to one file, or to two of the same contents. */
function sameManifest(one: string, other: string): boolean {
  if (one === other) return true;
  try {
    if (realpathSync(one) === realpathSync(other)) return true;
    const bytes = (path: string) => readRegularFileSync(path, defaultManifestLimits.bytes);
    return bytes(one).equals(bytes(other));
  } catch {
    return false; // whatever is wrong with a file, reading it as a manifest says so
  }
}

/**
 * A fault of a field that a preset filled in and the study file does not hold: said of the field by which the file can
 * change it. Any other fault stays as it is.
 */
export function whereSaid(input: unknown, fault: Fault): Fault {
  if (!isRecord(input) || input.preset === undefined) return fault;
  const [first] = fault.path;
  const said = (field: string): Fault => ({
    ...fault,
    path: [field],
    message: `${fault.message}. The preset says these counts: write ${field}: { train, validation, test } to change them`,
  });
  if (first === "split" && input.split === undefined) return said("split");
  const isOfFewShot = first === "tasks" && fault.path[2] === "cohort" && fault.path[3] === "split";
  return isOfFewShot && input.tasks === undefined ? said("fewShotSplit") : fault;
}

function merge(base: unknown, changes: unknown): unknown {
  if (!isRecord(base) || !isRecord(changes)) return changes;
  const keys = new Set([...Object.keys(base), ...Object.keys(changes)]);
  return Object.fromEntries(
    [...keys].map((key) => [
      key,
      !Object.hasOwn(changes, key)
        ? base[key]
        : Object.hasOwn(base, key)
          ? merge(base[key], changes[key])
          : changes[key],
    ]),
  );
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
