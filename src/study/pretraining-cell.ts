import { link } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomically, writeJson } from "../common/atomic-file.js";
import { TransferLimitsError } from "../common/errors.js";
import { randomStream, seedFor } from "../common/random.js";
import { maskedAutoencoderLoss, maskedBatch } from "../models/pretraining/masked-autoencoder.js";
import { parameterCount } from "../models/weights.js";
import { Network } from "../native/network.js";
import { writeSafetensors } from "../native/safetensors.js";
import { type CaseVolumes, openCase } from "../tasks/case-volumes.js";
import { architectureOf, type CellContext, CostMeter, listeners } from "./cell.js";
import { completeCell, curveCsv, encoderFile, type PretrainingResult, studyPaths } from "./cell-folder.js";
import { CheckpointFolder } from "./checkpoint.js";
import type { PretrainSettings } from "./schema.js";
import { train } from "./train.js";

/** Pretrains the encoder of a model as a masked autoencoder, and writes its weights into the cell's folder. */
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
  const cases = await Promise.all(prepared.map((one) => openCase(one, device)));
  const meter = new CostMeter();
  const { clock } = meter;
  const seed = seedFor(study.seed, "weights", cell.model, "pretraining");
  using network = await clock.during(Network.build(cell.network, { device, seed }));
  const checkpoints = new CheckpointFolder(studyPaths(folder).progress(cell.id));
  const name = ["pretraining", cell.model];
  const trained = await train({
    network,
    optimiser: {
      loss: maskedAutoencoderLoss(settings.normaliseTargets),
      weightDecay: settings.weightDecay,
      ...(settings.gradientClip === null ? {} : { gradientClip: settings.gradientClip }),
    },
    schedule: { ...settings, validateEvery: settings.epochs },
    cases: cases.length,
    random: { seed: study.seed, name },
    batch: (indices, epoch) => {
      const chosen = indices.map((index) => cases[index] as CaseVolumes);
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
    ...listeners(context, null),
  });

  const { state } = trained;
  const parameters = parameterCount(network);
  await completeCell(folder, cell.id, async (partial) => {
    await writeEncoder(network, join(partial, encoderFile), cell.model);
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

/** The encoder alone, its names beginning with `encoder.`, as other networks load it. */
async function writeEncoder(network: Network, path: string, model: string): Promise<void> {
  const state = await network.state();
  try {
    const encoder = Object.fromEntries(Object.entries(state).filter(([name]) => name.startsWith("encoder.")));
    await writeSafetensors(path, encoder, { model, pretraining: "masked-autoencoder" });
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}
