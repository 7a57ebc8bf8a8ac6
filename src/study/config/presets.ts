import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import type { ManifestFiles } from "../../cohort/manifest-files.js";
import { splitSchema } from "../../cohort/schema.js";
import { describe } from "../../common/errors.js";
import { type Fault, faultsOf, section, suggestion } from "../../common/validation.js";
import { comparators, paperTasks } from "../../common/vocabulary.js";
import { profoundTasksSchema, profoundTasksStudy } from "./profound-tasks.js";
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

/**
 * The paper's study: both foundation models, every task and comparator, at the published sizes; on a GPU in bfloat16, which
 * its tensor cores multiply many times as fast as float32. The paper says nothing of it.
 */
function paper(
  { manifests, weights, fewShotSplit: split = fewShotSplit }: PaperInput,
  onGpu: boolean,
): StudyInput {
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
    tasks: paperTasks.map((kind) => {
      if (kind === "distortion-correction" && fewShot !== null)
        return { kind, cohort: { manifest: fewShot, split } };
      // Sampling 37 cases in 50 steps takes about as long as an epoch of 555 trainings.
      if (kind === "modality-translation") return { kind, training: { validateEvery: 10 } };
      return kind;
    }),
    comparators: [...comparators],
    training: { epochs: 100, learningRate: 1e-4, schedule: "cosine" },
    ...(onGpu && { execution: { precision: "bfloat16" as const } }),
  };
}

/** A study, or what is wrong with what a study file says of its preset. */
type Expanded = { study: StudyInput } | { faults: Fault[] };

/** The paper's, from what a study file says of it. */
function paperStudy(said: PaperInput, base: string, files: ManifestFiles, onGpu: boolean): Expanded {
  const { promis, fewShot } = said.manifests;
  if (fewShot === null || !sameManifest(resolve(base, promis), resolve(base, fewShot), files))
    return { study: paper(said, onGpu) };
  const message =
    `expected the manifest of another cohort than promis has, but received the same, ${describe(fewShot)}: the preset ` +
    "would divide its patients twice, differently. With one cohort alone write fewShot: null; distortion correction " +
    "then takes the study's cohort and split, as the other tasks do";
  return { faults: [{ path: ["manifests", "fewShot"], message, unknownKey: null }] };
}

const presetOf = <Schema extends z.ZodObject>(
  schema: Schema,
  study: (said: z.output<Schema>, base: string, files: ManifestFiles, onGpu: boolean) => Expanded,
) => ({
  fields: Object.keys(schema.shape),
  expand: (own: unknown, base: string, files: ManifestFiles, onGpu: boolean): Expanded => {
    const parsed = schema.safeParse(own);
    return parsed.success ? study(parsed.data, base, files, onGpu) : { faults: faultsOf(parsed.error, own) };
  },
});

const presets = {
  paper: presetOf(paperSchema, paperStudy),
  "profound-tasks": presetOf(profoundTasksSchema, profoundTasksStudy),
};
const presetNames = Object.keys(presets) as (keyof typeof presets)[];

/**
 * A study file that names a preset becomes the study that the preset stands for, with what else the file says in
 * place of the preset's: sections are merged field by field, lists are replaced. Any other input stays as it is.
 */
export function expandPreset(
  input: unknown,
  base: string,
  files: ManifestFiles,
): { input: unknown } | { faults: Fault[] } {
  if (!isRecord(input) || input.preset === undefined) return { input };
  const { preset, ...said } = input;
  const name = presetNames.find((known) => known === preset);
  if (name === undefined) {
    const near = typeof preset === "string" ? suggestion(preset, presetNames) : "";
    const message = `expected the name of a preset but received ${describe(preset)}${near}`;
    return { faults: [{ path: ["preset"], message, unknownKey: null }] };
  }
  const { fields, expand } = presets[name];
  const [own, changes] = [true, false].map((ofPreset) =>
    Object.fromEntries(Object.entries(said).filter(([field]) => fields.includes(field) === ofPreset)),
  ) as [Record<string, unknown>, Record<string, unknown>];
  const expanded = expand(own, base, files, namesGpu(changes.execution));
  if ("faults" in expanded) return expanded;
  const { leftOut, ...study } = expanded.study;
  // Whoever lists the tasks leaves nothing out.
  const whole = changes.tasks === undefined && leftOut !== undefined ? { ...study, leftOut } : study;
  return { input: merge(whole, changes) };
}

/** Whether what a study file says of its execution, which nothing has checked yet, has cells run on a GPU. */
function namesGpu(execution: unknown): boolean {
  if (!isRecord(execution)) return false;
  const devices: unknown[] = Array.isArray(execution.devices) ? execution.devices : [execution.device];
  return devices.some((device) => typeof device === "string" && device.startsWith("cuda"));
}

/** Whether two paths lead to one file, or to two of the same contents. */
function sameManifest(one: string, other: string, files: ManifestFiles): boolean {
  if (one === other) return true;
  try {
    if (realpathSync(one) === realpathSync(other)) return true;
    return files.bytes(one).equals(files.bytes(other));
  } catch {
    return false; // whatever is wrong with a file, reading it as a manifest says so
  }
}

/**
 * A fault of a field that a preset filled in and the study file does not hold: said of the field by which the file can
 * change it. Any other fault stays as it is.
 */
export function whereSaid(input: unknown, fault: Fault): Fault {
  if (!isRecord(input) || input.preset !== "paper") return fault;
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
