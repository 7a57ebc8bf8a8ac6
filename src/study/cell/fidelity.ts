import { mkdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { openCase } from "../../cohort/case-volumes.js";
import { columnsOf } from "../../cohort/own-columns.js";
import type { PreparedCase } from "../../cohort/preprocess.js";
import { TransferLimitsError } from "../../common/errors.js";
import { packageVersion } from "../../common/package-version.js";
import type { StudyEvent } from "../../common/progress.js";
import { seedFor } from "../../common/random.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { OnDamage } from "../../common/set-aside.js";
import { openCheckpoint } from "../../models/checkpoints/checkpoint-file.js";
import { loadEncoder } from "../../models/checkpoints/load-weights.js";
import { evenly, measureFidelity, mostLookedAt } from "../../models/fidelity/gate.js";
import { seenOf } from "../../models/pretraining/sees.js";
import { encoderOf } from "../../models/specification.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { type EncoderFidelity, fidelityWords, keptFidelitySchema } from "../../results/fidelity.js";
import { encoderFile, studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import type { ModelConfig, Study } from "../config/schema.js";
import { seedsOf, varies } from "../config/seeds.js";
import { digest } from "../plan/basis.js";
import { readingOf } from "../plan/check-weights.js";
import { cohortOf, divisionOf, type StudyCohort } from "../plan/cohort-file.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";
import { encoderKey, encoderOfCell, type GatedEncoder, gatedEncoders } from "../plan/pretrained-encoders.js";
import { encoderChecksum } from "./cell-folder.js";

/** What is measured of, and with what. */
export interface FidelityJob {
  study: Study;
  /** As the encoder's seed divides it, where seeds do. */
  cohort: StudyCohort;
  onDamage: OnDamage;
  signal?: AbortSignal | undefined;
}

/**
 * Looks at a pretrained encoder and at what it is shown, from a few training cases; or takes what was measured before, of
 * the same weights on the same cases. No number of a study rests on it.
 *
 * @throws `BAD_CHECKPOINT` where the weights are refused
 */
export async function fidelityOf(
  encoder: GatedEncoder,
  job: FidelityJob,
): Promise<{ found: EncoderFidelity; isNew: boolean }> {
  const { study, onDamage, signal } = job;
  const { output, device } = study.execution;
  const model = modelOf(study, encoder);
  const spec = encoderOf(model.encoder);
  const own =
    encoder.pretraining === null ? null : join(studyPaths(output).cell(encoder.pretraining), encoderFile);
  const file = model.weights ?? own;
  if (file === null && spec.family !== "torchscript")
    throw new TransferLimitsError("INTERNAL", `${encoder.model} starts from no weights`);
  const weights =
    file === null && spec.family === "torchscript"
      ? spec.sha256.toLowerCase()
      : await (await openCheckpoint(file as string)).sha256();
  const restsOn = basisOf(encoder, weights, job);
  const kept = await keptOf(study, encoder, onDamage);
  if (kept?.restsOn === restsOn) return { found: withoutBasis(kept), isNew: false };
  const seed = seedFor(study.seed, "weights", encoder.model, "fidelity");
  using network = await PlacedNetwork.build({ encoder: spec }, { device, seed });
  const report =
    file === null ? null : await loadEncoder(network, file, { ...readingOf(model), fresh: true });
  const cases = await Promise.all(casesShown(job).map((one) => openCase(one, device)));
  const checks = await measureFidelity({
    ...{ network, report, cases, images: imagesOf(study), signal },
    voxels: study.cohort.voxels,
    expects: model.expects,
  });
  const found: EncoderFidelity = {
    model: encoder.model,
    ...(encoder.pretraining === null ? {} : { pretraining: encoder.pretraining }),
    weights,
    cases: cases.length,
    checks,
  };
  const path = studyPaths(output).fidelity(encoderKey(encoder));
  await mkdir(dirname(path), { recursive: true });
  await writeSealedJson(path, { ...found, restsOn });
  return { found, isNew: true };
}

/**
 * Brings what is kept of a study's encoders to what the study is now: one whose cells are finished nobody would look at again,
 * although what is kept of it was measured when the study was another, or is damaged.
 *
 * @param done ids of the cells that are finished
 * @param brought by model that brings weights, SHA-256 of their file
 */
export async function settleFidelity(
  plan: StudyPlan,
  done: ReadonlySet<string>,
  brought: ReadonlyMap<string, string>,
  job: FidelityJob,
): Promise<void> {
  const { study, onDamage } = job;
  const { output, gate } = study.execution;
  if (gate === "off") return;
  for (const encoder of gatedEncoders(plan)) {
    const kept = await keptOf(study, encoder, onDamage);
    const { pretraining, model } = encoder;
    const spec = encoderOf(modelOf(study, encoder).encoder);
    const weights =
      pretraining !== null
        ? done.has(pretraining)
          ? await encoderChecksum(output, pretraining)
          : null
        : (brought.get(model) ?? (spec.family === "torchscript" ? spec.sha256.toLowerCase() : null));
    const ofSeed = plan.cells.find(({ id }) => id === pretraining)?.seed;
    const shown = ofSeed === undefined ? job : { ...job, cohort: divisionOf(job.cohort, ofSeed) };
    // What is still to be pretrained is looked at by whoever starts from it.
    if (weights === null || kept?.restsOn === basisOf(encoder, weights, shown)) continue;
    const isLookedAt = plan.cells.some(
      (cell) => done.has(cell.id) && encoderKeyOf(cell) === encoderKey(encoder),
    );
    if (isLookedAt) await fidelityOf(encoder, shown);
    else await rm(studyPaths(output).fidelity(encoderKey(encoder)), { force: true });
  }
}

const encoderKeyOf = (cell: PlannedCell): string | null => {
  const encoder = encoderOfCell(cell);
  return encoder && encoderKey(encoder);
};

const modelOf = ({ models }: Study, encoder: GatedEncoder): ModelConfig =>
  models.find(({ name }) => name === encoder.model) as ModelConfig;

/** The hash of all that a measurement rests on. @param weights SHA-256 of the encoder's weights */
function basisOf(encoder: GatedEncoder, weights: string, job: FidelityJob): string {
  const model = modelOf(job.study, encoder);
  return digest({
    weights,
    encoder: { ...encoderOf(model.encoder), file: undefined },
    reading: readingOf(model),
    expects: model.expects ?? null,
    cases: casesShown(job).map(({ file: prepared }) => basename(prepared)),
    package: packageVersion,
  });
}

const imagesOf = ({ cohort }: Study) => seenOf(columnsOf(cohort)).images;

/** A few training cases. Of an encoder that all seeds share the same are shown, whichever seed looks at it first. */
function casesShown({ study, cohort }: FidelityJob): PreparedCase[] {
  const shown = varies(study, "pretraining") ? cohort : divisionOf(cohort, seedsOf(study)[0] as number);
  return evenly(trainingCases(study, shown, imagesOf(study)[0]), mostLookedAt);
}

type Kept = EncoderFidelity & { restsOn: string };

const keptOf = (study: Study, encoder: GatedEncoder, onDamage: OnDamage): Promise<Kept | null> => {
  const { output } = study.execution;
  return readOwn<Kept>(
    output,
    studyPaths(output).fidelity(encoderKey(encoder)),
    onDamage,
    keptFidelitySchema,
  );
};

const withoutBasis = ({ restsOn: _, ...found }: EncoderFidelity & { restsOn: string }): EncoderFidelity =>
  found;

/** Training cases that show the reference: the study's own, or the first task's that has any. */
function trainingCases(study: Study, cohort: StudyCohort, reference: string): PreparedCase[] {
  const all = [cohort, ...study.tasks.map(({ name }) => cohortOf(cohort, name))].map(({ split }) =>
    split.train.filter(({ volumes }) => volumes.includes(reference)),
  );
  return all.find(({ length }) => length > 0) ?? [];
}

/** What was measured of the encoders of a study so far. */
export async function keptFidelity(study: Study, plan: StudyPlan): Promise<EncoderFidelity[]> {
  const found: EncoderFidelity[] = [];
  for (const encoder of gatedEncoders(plan)) {
    const kept = await keptOf(study, encoder, () => {});
    if (kept === null) continue;
    const { pretraining } = encoder;
    const isOfNow =
      pretraining === null || (await encoderChecksum(study.execution.output, pretraining)) === kept.weights;
    if (isOfNow) found.push(withoutBasis(kept));
  }
  return found;
}

/** What a study is told of an encoder that was looked at. */
export const fidelityEvent = ({
  model,
  checks,
}: EncoderFidelity): Extract<StudyEvent, { kind: "encoder-checked" }> => ({
  kind: "encoder-checked",
  model,
  severe: checks.some(({ severe }) => severe),
  flags: checks.filter(({ verdict }) => verdict === "flagged").map((check) => fidelityWords(model, check)),
});

/**
 * Refuses an encoder from which nothing that is computed would mean anything.
 *
 * @throws `UNSOUND_ENCODER`
 */
export function refuseUnsound({ model, checks }: EncoderFidelity, output: string): void {
  const severe = checks.filter((check) => check.severe);
  if (severe.length === 0) return;
  throw new TransferLimitsError(
    "UNSOUND_ENCODER",
    `Expected a trained encoder for ${model}, but: ${severe.map(({ check, words }) => `${check}: ${words}`).join(" ")} Nothing that starts ` +
      `from it would mean anything. What was measured stands in ${join(output, "fidelity")}. Mend the model's weights, or set execution.gate: warn ` +
      "to go on all the same",
  );
}
