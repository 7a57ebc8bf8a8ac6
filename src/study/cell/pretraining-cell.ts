import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { openCase } from "../../cohort/case-volumes.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { VolumeBank } from "../../cohort/volume-bank.js";
import { linkOrCopy, writeFileAtomically, writeJson } from "../../common/atomic-file.js";
import { TransferLimitsError } from "../../common/errors.js";
import { packageVersion } from "../../common/package-version.js";
import { randomStream, seedFor } from "../../common/random.js";
import { ownMetadata } from "../../models/checkpoints/own-weights.js";
import { recordOf } from "../../models/fidelity/gate.js";
import { recordMetadata } from "../../models/fidelity/record.js";
import { encoderParameters, parameterCount } from "../../models/parameters.js";
import { type EncoderOrigin, originMetadata } from "../../models/pretraining/origin.js";
import { seenOf } from "../../models/pretraining/sees.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { writeSafetensors } from "../../native/safetensors.js";
import type { PretrainingResult } from "../../results/cell.js";
import { cellFiles, encoderFile } from "../../results/paths.js";
import type { PretrainSettings } from "../config/schema.js";
import { varies } from "../config/seeds.js";
import { smallestBatchOf } from "../config/smallest-batch.js";
import { withoutLabels } from "../plan/basis.js";
import { pretrainingCases } from "../plan/cohort-file.js";
import { type CellContext, executionOf, listeners, onDamageOf } from "./cell-context.js";
import { completeCell, curveCsv } from "./cell-folder.js";
import { CheckpointFolder } from "./checkpoint.js";
import { CostMeter } from "./cost-meter.js";
import { networkInWords } from "./network-in-words.js";
import { pretrainingMethod } from "./pretraining-method.js";
import { train } from "./train.js";

/** Pretrains the encoder of a model by its method, and writes its weights into the cell's folder. */
export async function runPretrainingCell(context: CellContext): Promise<{ metric: null }> {
  const { study, cell, cohort, claim, ranks, signal } = context;
  const { device, output: folder, checkpointEvery } = study.execution;
  const settings = study.models.find(({ name }) => name === cell.model)?.pretrain as PretrainSettings;
  const { network: spec } = cell;
  if (spec === null || !("encoder" in spec))
    throw new TransferLimitsError("INTERNAL", `${cell.id} has no encoder`);
  const { encoder } = spec;
  const prepared = pretrainingCases(cohort, cell.model).map(withoutLabels);
  if (prepared.length === 0) {
    throw new TransferLimitsError(
      "BAD_MANIFEST",
      "Expected at least one case to pretrain on, but none could be read",
    );
  }
  using bank = VolumeBank.on(device);
  const opened = await Promise.all(prepared.map((one) => openCase(one, device, bank)));
  const sees = seenOf(columnsOf(study.cohort), settings.mask);
  const method = await pretrainingMethod(settings, encoder, opened, device, sees);
  const seen = new Set(method.cases.map((volumes) => volumes.case));
  const patients = [
    ...new Set(prepared.flatMap(({ id, patient }) => (seen.has(id) ? [patient] : []))),
  ].sort();
  // Paths of this machine say nothing about weights that may go anywhere.
  const { manifest: _, exclude: __, ...published } = settings;
  const origin: EncoderOrigin = {
    model: cell.model,
    method: settings.method,
    encoder,
    settings: published,
    package: packageVersion,
    patients,
  };

  const meter = await CostMeter.start(context);
  const ofSeed = varies(study, "pretraining") ? [cell.seed] : [];
  const seed = seedFor(study.seed, "weights", cell.model, "pretraining", ...ofSeed);
  using network = await PlacedNetwork.build(spec, { device, seed, drawn: true });
  using teacher = method.hasTeacher ? await PlacedNetwork.build(spec, { device, seed, drawn: true }) : null;
  await method.begin(network);
  const metadata = {
    ...originMetadata(origin),
    ...recordMetadata(await recordOf(network, method.cases, sees.images, study.cohort.voxels)),
  };
  const basis = { ...context.basis, weights: null };
  const checkpoints =
    claim === null
      ? new CheckpointFolder(context.progress)
      : await CheckpointFolder.open(context.progress, {
          study: folder,
          restsOn: basis,
          onDamage: onDamageOf(context),
        });
  const name = ["pretraining", cell.model, ...ofSeed];
  const told = listeners(context, null);
  const trained = await train({
    network,
    ranks,
    ...(teacher ? { teacher } : {}),
    optimiser: {
      loss: method.loss,
      weightDecay: settings.weightDecay,
      ...(settings.gradientClip === null ? {} : { gradientClip: settings.gradientClip }),
      ...executionOf(study, settings.microBatch),
    },
    schedule: { ...settings, validateEvery: settings.epochs },
    cases: method.cases.length,
    smallestBatch: smallestBatchOf(spec, null, study.cohort.voxels),
    random: { seed: study.seed, name },
    batch: (indices, epoch, progress) =>
      method.batch(
        indices,
        (what, volumes) => randomStream(study.seed, ...name, what, epoch, volumes.case),
        epoch,
        progress,
      ),
    validate: null,
    checkpoints,
    retry: context.retry,
    signal,
    keep: async (epoch) => {
      if (checkpointEvery === null || epoch % checkpointEvery !== 0 || epoch === settings.epochs) return;
      await mkdir(checkpoints.path, { recursive: true });
      await writeEncoder(teacher ?? network, checkpoints.kept(epoch), metadata, epoch);
    },
    ...told,
    onEpoch: (record, secondsLeft) => {
      method.check(record);
      told.onEpoch(record, secondsLeft);
    },
  });

  if (claim === null) return { metric: null };
  const { state } = trained;
  const parameters = parameterCount(network);
  await completeCell(claim, async (partial) => {
    await writeEncoder(teacher ?? network, join(partial, encoderFile), metadata, state.epoch);
    for (const { epoch, path } of await checkpoints.allKept())
      await linkOrCopy(path, join(partial, `encoder-${epoch}.safetensors`));
    await linkOrCopy(checkpoints.network(state.epoch), join(partial, cellFiles.last));
    await writeFileAtomically(join(partial, cellFiles.curve), curveCsv(state.curve));
    const result: PretrainingResult = {
      id: cell.id,
      model: cell.model,
      seed: cell.seed,
      network: { architecture: networkInWords(spec), parameters, trainable: parameters },
      patients: patients.length,
      curve: state.curve,
      cost: await meter.total(context, trained),
      basis,
    };
    await writeJson(join(partial, cellFiles.pretraining), result);
  });
  return { metric: null };
}

/** The encoder alone, under the names that other networks load it by, with where it comes from and what it was shown. */
async function writeEncoder(
  network: PlacedNetwork,
  path: string,
  metadata: Record<string, string>,
  epoch: number,
): Promise<void> {
  const names = new Set(encoderParameters(network));
  const state = await network.state();
  try {
    const encoder = Object.fromEntries(Object.entries(state).filter(([name]) => names.has(name)));
    await writeSafetensors(path, encoder, {
      ...metadata,
      ...(await ownMetadata(network)),
      epoch: String(epoch),
    });
  } finally {
    for (const tensor of Object.values(state)) tensor.dispose();
  }
}
