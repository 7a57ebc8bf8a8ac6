import { link } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically, writeJson } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import { randomStream, seedFor } from "../common/random.js";
import { ownMetadata } from "../models/checkpoints/own-weights.js";
import { maskedAutoencoderLoss, maskedBatch } from "../models/pretraining/masked-autoencoder.js";
import { contrastBatch, patchContrastLoss, showsLesion } from "../models/pretraining/patch-contrast.js";
import { encoderParameters, parameterCount } from "../models/weights.js";
import { Network } from "../native/network.js";
import { writeSafetensors } from "../native/safetensors.js";
import { type CaseVolumes, openCase } from "../tasks/case-volumes.js";
import { architectureOf, type CellContext, CostMeter, listeners } from "./cell.js";
import { completeCell, curveCsv, encoderFile, type PretrainingResult, studyPaths } from "./cell-folder.js";
import { CheckpointFolder } from "./checkpoint.js";
import type { PretrainMethod, PretrainSettings } from "./schema.js";
import { train } from "./train.js";

/** Pretrains the encoder of a model by its method, and writes its weights into the cell's folder. */
export async function runPretrainingCell(context: CellContext): Promise<{ metric: null }> {
  const { study, cell, cohort, signal } = context;
  const { device, output: folder } = study.execution;
  const settings = study.models.find(({ name }) => name === cell.model)?.pretrain as PretrainSettings;
  if (!("encoder" in cell.network)) throw new TransferLimitsError("INTERNAL", `${cell.id} has no encoder`);
  const { channels } = cell.network.encoder;
  const prepared = cohort.pretraining[cell.model] ?? cohort.split.train;
  if (prepared.length === 0) {
    throw new TransferLimitsError(
      "BAD_MANIFEST",
      "Expected at least one case to pretrain on, but none could be read",
    );
  }
  const opened = await Promise.all(prepared.map((one) => openCase(one, device)));
  const isContrast = settings.method === "patch-contrast";
  const cases = isContrast ? await withLesions(opened) : opened;
  const meter = new CostMeter();
  const { clock } = meter;
  const seed = seedFor(study.seed, "weights", cell.model, "pretraining");
  using network = await clock.during(Network.build(cell.network, { device, seed }));
  const checkpoints = new CheckpointFolder(studyPaths(folder).progress(cell.id));
  const name = ["pretraining", cell.model];
  const told = listeners(context, null);
  const trained = await train({
    network,
    optimiser: {
      loss: isContrast ? patchContrastLoss(settings) : maskedAutoencoderLoss(settings.normaliseTargets),
      weightDecay: settings.weightDecay,
      ...(settings.gradientClip === null ? {} : { gradientClip: settings.gradientClip }),
    },
    schedule: { ...settings, validateEvery: settings.epochs },
    cases: cases.length,
    random: { seed: study.seed, name },
    batch: (indices, epoch) => {
      const chosen = indices.map((index) => cases[index] as CaseVolumes);
      if (isContrast) return contrastBatch(chosen);
      const draws = chosen.map((volumes) => randomStream(study.seed, ...name, "mask", epoch, volumes.case));
      return maskedBatch(chosen, draws, {
        channels,
        patch: settings.patch,
        maskRatio: settings.maskRatio,
        device,
      });
    },
    validate: null,
    checkpoints,
    clock,
    signal,
    ...told,
    onEpoch: (record, secondsLeft) => {
      if (isContrast && record.trainingLoss === 0) throw nothingToContrast(settings);
      told.onEpoch(record, secondsLeft);
    },
  });

  const { state } = trained;
  const parameters = parameterCount(network);
  await completeCell(folder, cell.id, async (partial) => {
    await writeEncoder(network, join(partial, encoderFile), {
      model: cell.model,
      pretraining: settings.method,
    });
    await link(checkpoints.network(state.epoch), join(partial, "last.safetensors"));
    await writeFileAtomically(join(partial, "curve.csv"), curveCsv(state.curve));
    const result: PretrainingResult = {
      id: cell.id,
      model: cell.model,
      seed: cell.seed,
      network: { architecture: architectureOf(cell.network), parameters, trainable: parameters },
      curve: state.curve,
      cost: meter.total(context, trained),
    };
    await writeJson(join(partial, "pretraining.json"), result);
  });
  return { metric: null };
}

/** The cases that a contrast of lesions with other tissue can learn from. */
async function withLesions(cases: readonly CaseVolumes[]): Promise<CaseVolumes[]> {
  const shown = await Promise.all(cases.map(showsLesion));
  const kept = cases.filter((_, index) => shown[index]);
  if (kept.length > 0) return kept;
  throw new TransferLimitsError(
    "BAD_MANIFEST",
    `Expected at least one case with a T2W image and a lesion to pretrain on, but of ${cases.length} cases there is none`,
  );
}

const nothingToContrast = ({ lesionShare }: PretrainSettings): TransferLimitsError =>
  new TransferLimitsError(
    "BAD_CONFIG",
    `Expected patches that hold more than ${lesionShare} of lesion beside others, but no batch of an epoch has both, so ` +
      "that there is nothing to contrast. Lower pretrain.lesionShare, or take smaller voxels or patches",
  );

/** The encoder alone, under the names that other networks load it by. */
async function writeEncoder(
  network: Network,
  path: string,
  metadata: { model: string; pretraining: PretrainMethod },
): Promise<void> {
  const names = new Set(encoderParameters(network));
  const state = await network.state();
  try {
    const encoder = Object.fromEntries(Object.entries(state).filter(([name]) => names.has(name)));
    await writeSafetensors(path, encoder, { ...metadata, ...(await ownMetadata(network)) });
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}
