import { z } from "zod";
import { describe } from "../common/errors.js";
import { type Fault, faultsOf, section, suggestion } from "../common/validation.js";
import { comparators, taskKinds } from "../common/vocabulary.js";
import type { splitSchema } from "./cohort-schema.js";
import type { StudyInput } from "./schema.js";

const file = z.string().min(1);

/** What a study file says of the `paper` preset; everything else in it changes what the preset says. */
const paperSchema = section({
  /** The CSVs of the two cohorts: PROMIS, and the few-shot pelvic set of distortion correction. */
  manifests: section({ promis: file, fewShot: file }),
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
function paper({ manifests, weights }: PaperInput): StudyInput {
  const encoder = (path: string | undefined) => (path === undefined ? { pretrain: {} } : { weights: path });
  return {
    name: "paper",
    cohort: { manifest: manifests.promis, voxels: [200, 200, 96] },
    split: promisSplit,
    models: [
      { name: "profound", encoder: "profound-tiny", finetune: "full", ...encoder(weights.profound) },
      { name: "provicnet", encoder: "provicnet-small", finetune: "partial", ...encoder(weights.provicnet) },
    ],
    tasks: taskKinds.map((kind) =>
      kind === "distortion-correction"
        ? { kind, cohort: { manifest: manifests.fewShot, split: fewShotSplit } }
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
export function expandPreset(input: unknown): { input: unknown } | { faults: Fault[] } {
  if (!isRecord(input) || input.preset === undefined) return { input };
  const { preset, manifests, weights, ...changes } = input;
  const name = presetNames.find((known) => known === preset);
  if (name === undefined) {
    const near = typeof preset === "string" ? suggestion(preset, presetNames) : "";
    const message = `expected the name of a preset but received ${describe(preset)}${near}`;
    return { faults: [{ path: ["preset"], message, unknownKey: null }] };
  }
  const own = { manifests, ...(weights === undefined ? {} : { weights }) };
  const parsed = paperSchema.safeParse(own);
  if (!parsed.success) return { faults: faultsOf(parsed.error, own) };
  return { input: merge(presets[name](parsed.data), changes) };
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
