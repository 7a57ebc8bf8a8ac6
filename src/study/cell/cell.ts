import { join } from "node:path";
import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { VolumeBank } from "../../cohort/volume-bank.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { CellLabel, MeasuredMetric, StudyEvent } from "../../common/progress.js";
import { randomStream, seedFor } from "../../common/random.js";
import type { OnDamage } from "../../common/set-aside.js";
import { comesFromFile } from "../../models/architectures/index.js";
import { channelsShown, encoderOf } from "../../models/specification.js";
import {
  countOf,
  headParameters,
  howDrawn,
  lastBlocksAndNorms,
  layerwiseRates,
  loadEncoder,
  parameterCount,
  startAnswersAt,
} from "../../models/weights.js";
import { Network } from "../../native/network.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { Ranks } from "../../native/ranks.js";
import { deviceSeconds, peakMemory } from "../../native/runtime.js";
import type { TrainerOptions } from "../../native/trainer.js";
import type { CellResult, Cost, Retry } from "../../results/cell.js";
import { encoderFile, studyPaths } from "../../results/paths.js";
import { betterOf, taskOf } from "../../tasks/index.js";
import type { ModelConfig, Study, TaskConfig, TrainingSettings } from "../config/schema.js";
import { seedOf } from "../config/seeds.js";
import { smallestBatchOf } from "../config/smallest-batch.js";
import type { CellBasis } from "../plan/basis.js";
import type { StudyCohort } from "../plan/cohort-file.js";
import { batchesOfStatistics, isDrawnAndKept, type PlannedCell } from "../plan/plan.js";
import { encoderOfCell } from "../plan/pretrained-encoders.js";
import { readingOf } from "../plan/weights.js";
import type { CellClaim } from "./cell-claim.js";
import { CheckpointFolder } from "./checkpoint.js";
import { evaluate } from "./evaluate.js";
import { FeatureStore } from "./features.js";
import { fidelityEvent, fidelityOf, refuseUnsound } from "./fidelity.js";
import { settleNormStatistics } from "./norm-statistics.js";
import { depthNames } from "./pooled-features.js";
import { openSets, test, testMetricOf } from "./test-set.js";
import { completeTestedCell } from "./tested-cell.js";
import { nothingSpent, type Trained, train } from "./train.js";
import { type TrainingBatches, trainingBatch } from "./training-batch.js";

/** Everything that working on one cell needs. */
export interface CellJob {
  study: Study;
  cell: PlannedCell;
  cohort: StudyCohort;
  /** What its numbers rest on. */
  basis: CellBasis;
  threads: number;
  /** SHA-256 of the file of weights that the cell's model brings, as it was when the study began; null: it brings none. */
  weights: string | null;
  /** Why it is tried a second time, and how; null at the first try. */
  retry: Retry | null;
}

export interface CellContext extends CellJob {
  /** Null in a process that only trains along with the one that holds it. */
  claim: CellClaim | null;
  /** Where the state of the cell's training is kept. */
  progress: string;
  /** The processes that train the cell together; null where there is one. */
  ranks: Ranks | null;
  signal: AbortSignal;
  tell(
    event: Extract<
      StudyEvent,
      { kind: "cell-started" | "epoch" | "set-aside" | "encoder-checked" | "cell-moved-away" }
    >,
  ): void;
}

/** Tells of what a cell found damaged in its folder of progress. */
export const onDamageOf =
  ({ tell }: CellContext): OnDamage =>
  (damage) =>
    tell({ kind: "set-aside", ...damage });

/** What stands in an event about a cell. */
export const labelOf = ({
  id,
  kind,
  task,
  strategy,
  model,
  comparator,
  seed,
  patients,
}: CellLabel): CellLabel => ({
  ...(patients === undefined ? {} : { patients }),
  id,
  kind,
  task,
  strategy,
  model,
  comparator,
  seed,
});

/** Running means and the like, which change with every step whatever is trained. */
const bufferNames = (network: Network): string[] =>
  network.parameters.filter(({ buffer }) => buffer).map(({ name }) => name);

/**
 * Gives a network the pretrained encoder of a model.
 *
 * @returns SHA-256 of its file
 * @throws `BAD_CHECKPOINT` where that is damaged, or not the one that the study began with
 */
async function startFromPretraining(
  network: Network,
  { study, cell, weights: began }: CellJob,
): Promise<string> {
  const model = study.models.find(({ name }) => name === cell.model) as ModelConfig;
  const { weights, ...reading } = model;
  const encoder = encoderOf(model.encoder);
  const [pretraining = ""] = cell.dependsOn;
  // Its module's own, with which it was built: the file is the one with that hash, or it had not been loaded.
  if (weights === undefined && pretraining === "" && comesFromFile(encoder))
    return encoder.sha256.toLowerCase();
  const own = join(studyPaths(study.execution.output).cell(pretraining), encoderFile);
  const { sha256 } = (await loadEncoder(network, weights ?? own, readingOf(reading))).file;
  if (began !== null && began !== sha256) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `${weights} was changed while the study ran: its SHA-256 was ${began} when the study began and is ${sha256} now. ` +
        "Put it back as it was, and run the study again",
    );
  }
  return sha256;
}

/** Words for a network: its encoder with its head, or its family. */
export const architectureOf = (spec: NetworkSpec): string =>
  "model" in spec ? spec.model.family : `${spec.encoder.family}${spec.head ? ` + ${spec.head.kind}` : ""}`;

/** Adds what a process spent outside of training to what training spent, over all processes. */
export class CostMeter {
  readonly #started = performance.now();

  private constructor(private readonly deviceBefore: number) {}

  static async start({ study: { execution } }: Pick<CellJob, "study">): Promise<CostMeter> {
    return new CostMeter(await deviceSeconds(execution.device));
  }

  async total({ study, threads, ranks }: CellContext, trained: Trained | null): Promise<Cost> {
    const { state, here } = trained ?? {
      state: { cost: nothingSpent(), retry: undefined },
      here: nothingSpent(),
    };
    const { device } = study.execution;
    const now = await deviceSeconds(device);
    const outside = {
      wallSeconds: (performance.now() - this.#started) / 1000 - here.wallSeconds,
      deviceSeconds: now - this.deviceBefore - here.deviceSeconds,
    };
    return {
      wallSeconds: state.cost.wallSeconds + outside.wallSeconds,
      deviceSeconds: state.cost.deviceSeconds + outside.deviceSeconds,
      peakMemoryBytes: Math.max(state.cost.peakMemoryBytes, peakMemory(device)),
      epochSeconds: state.cost.epochSeconds,
      epochEmbedded: state.cost.epochEmbedded,
      device,
      threads,
      ...(ranks ? { ranks: ranks.ranks } : {}),
      ...(state.retry ? { retry: state.retry } : {}),
    };
  }
}

/**
 * Looks at the pretrained encoder that a cell starts from, where no cell has done so before.
 *
 * @throws `UNSOUND_ENCODER` where the study stops at such a one
 */
async function passGate(context: CellContext): Promise<void> {
  const { study, cell, cohort, signal } = context;
  const encoder = encoderOfCell(cell);
  if (context.claim === null || encoder === null || study.execution.gate === "off") return;
  const { found, isNew } = await fidelityOf(encoder, {
    study,
    cohort,
    signal,
    onDamage: onDamageOf(context),
  });
  if (isNew) context.tell(fidelityEvent(found));
  if (study.execution.gate === "stop") refuseUnsound(found, study.execution.output);
}

/**
 * Works on a cell that belongs to a task: builds its network, trains what its comparator trains, tests the best epoch
 * on the test set, and writes the cell's folder. Every comparator of a model and a seed starts from the same drawn
 * weights, and sees the same cases in the same order with the same draws.
 *
 * A process that trains along with another is done once the training is: its metric is null.
 */
export async function runTaskCell(context: CellContext): Promise<{ metric: MeasuredMetric | null }> {
  const { study, cell, cohort, claim, ranks, signal } = context;
  const { device, output: folder } = study.execution;
  const spec = cell.network as NetworkSpec;
  const config = study.tasks.find(({ name }) => name === cell.task) as TaskConfig;
  const strategy = cell.strategy as CellResult["strategy"];
  const plain = taskOf(config, strategy);
  await passGate(context);
  using bank = VolumeBank.on(device);
  const sets = await openSets(plain, cohort, cell, study, bank);
  const task = plain.onTraining?.(sets.train) ?? plain;
  const meter = await CostMeter.start(context);

  const channels = channelsShown(spec, task.shape.channels);
  const weightSeed = seedFor(study.seed, "weights", cell.model, seedOf(study, "weights", cell.seed));
  using network = await Network.build(spec, {
    device,
    seed: weightSeed,
    drawn: cell.startsFrom !== "pretrained",
  });
  network.precision = study.execution.precision;
  if (task.prior !== undefined) await startAnswersAt(network, task.prior);
  const weights = cell.startsFrom === "pretrained" ? await startFromPretraining(network, context) : null;
  const training = cell.training as TrainingSettings;
  const name = ["train", task.name, seedOf(study, "order", cell.seed)];
  const stream: TrainingBatches["stream"] = (...rest) => randomStream(study.seed, ...name, ...rest);
  const unchanged: TrainingBatches = { task, channels, augmentation: null, kept: null, stream };
  if (isDrawnAndKept(cell) && sets.train.length > 0) {
    const order = stream("norm statistics").shuffle(sets.train);
    await settleNormStatistics(
      network,
      { loss: task.loss(sets.train) },
      batchesOfStatistics(sets.train.length, training.batchSize),
      (index) => trainingBatch(unchanged, turnOf(order, index, training.batchSize), index + 1),
      signal,
    );
  }

  const head = headParameters(network);
  const trainable = {
    everything: null,
    partial: () => [...head, ...lastBlocksAndNorms(network, cell.trainedBlocks)],
    head: () => head,
    nothing: () => [],
  }[cell.trains];
  const basis = { ...context.basis, weights };
  const onDamage = onDamageOf(context);
  const changing = trainable === null ? undefined : [...trainable(), ...bufferNames(network)];
  const checkpoints =
    claim === null
      ? new CheckpointFolder(context.progress, changing)
      : await CheckpointFolder.open(context.progress, { study: folder, restsOn: basis, onDamage, changing });
  const features =
    cell.keptDraws === null
      ? null
      : new FeatureStore(network, featuresOf(checkpoints, ranks), {
          keepStages: task.shape.answers === "voxels",
          setAsideIn: folder,
          onDamage,
        });
  const present = { task, network, channels, seed: study.seed, features };
  const batches: TrainingBatches = {
    ...unchanged,
    augmentation: training.augmentation,
    kept: features && cell.keptDraws !== null ? { store: features, draws: cell.keptDraws } : null,
  };
  const trained =
    cell.trains === "nothing"
      ? null
      : await train({
          network,
          ranks,
          optimiser: {
            loss: task.loss(sets.train),
            weightDecay: training.weightDecay,
            ...(training.gradientClip === null ? {} : { gradientClip: training.gradientClip }),
            ...(trainable === null ? {} : { trainable: trainable() }),
            ...(cell.layerDecay === 1 ? {} : { rates: layerwiseRates(network, cell.layerDecay) }),
            ...executionOf(study, training.microBatch),
          },
          schedule: training,
          cases: sets.train.length,
          smallestBatch: smallestBatchOf(spec, task.shape, study.cohort.voxels),
          random: { seed: study.seed, name },
          batch: (cases, epoch) =>
            trainingBatch(
              batches,
              cases.map((index) => sets.train[index] as CaseVolumes),
              epoch,
            ),
          validate:
            sets.validation.length === 0
              ? null
              : async () => (await evaluate(present, sets.validation, signal)).assessment.value,
          better: betterOf(config),
          checkpoints,
          retry: context.retry,
          signal,
          ...listeners(context, task.metric),
        });
  if (claim === null) return { metric: null };
  const state = trained?.state ?? null;
  if (state === null) context.tell({ kind: "cell-started", cell: labelOf(cell), epochs: 0, startEpoch: 0 });
  if (state?.best && state.best.epoch !== state.epoch) {
    await checkpoints.restoreBest(state.best, network);
  }

  // Distances compare embeddings more closely than bfloat16 tells apart.
  network.precision = "float32";
  using tested = await test(task, depthNames(spec), (visit) =>
    evaluate({ ...present, features: null }, sets.test, signal, visit),
  );
  const parameters = parameterCount(network);
  // Awaited, for what testing gave lives until this function ends.
  return await completeTestedCell(
    claim,
    cell,
    { ...sets, tested },
    {
      network: {
        architecture: architectureOf(spec),
        parameters,
        trainable: trainable === null ? parameters : countOf(network, trainable()),
        ...(cell.startsFrom === "random" ? howDrawn(network) : {}),
      },
      ...(state && training.augmentation ? { augmentation: training.augmentation } : {}),
      metric: testMetricOf(task, config, tested.evaluation),
      curve: state?.curve ?? [],
      bestEpoch: state?.best?.epoch ?? null,
      cost: await meter.total(context, trained),
      basis,
    },
    async (partial) => {
      if (state) await checkpoints.keep(state, network, partial);
    },
  );
}

/** Ranks see other cases each: each keeps its own. */
const featuresOf = ({ features }: CheckpointFolder, ranks: Ranks | null): string =>
  ranks === null || ranks.rank === 0 ? features : join(features, `rank-${ranks.rank}`);

/** The cases of batch `index` of `size`, going round and round. */
const turnOf = <Item>(items: readonly Item[], index: number, size: number): Item[] =>
  Array.from({ length: size }, (_, i) => items[(index * size + i) % items.length] as Item);

/** How a study's trainings are computed. */
export const executionOf = ({ execution }: Study, microBatch: number | null): Partial<TrainerOptions> => ({
  precision: execution.precision,
  checkpointing: execution.checkpointing,
  cudaGraphs: execution.cudaGraphs,
  ...(microBatch === null ? {} : { microBatch }),
});

/** What a training tells about a cell. */
export function listeners({ cell, tell }: CellContext, metric: string | null) {
  const label = labelOf(cell);
  return {
    onStart: (startEpoch: number) =>
      tell({ kind: "cell-started", cell: label, epochs: cell.epochs, startEpoch }),
    onEpoch: (
      record: { epoch: number; trainingLoss: number; validationMetric: number | null },
      secondsLeft: number,
    ) =>
      tell({
        kind: "epoch",
        cell: label,
        epoch: record.epoch,
        epochs: cell.epochs,
        loss: record.trainingLoss,
        metric:
          metric !== null && record.validationMetric !== null
            ? { name: metric, value: record.validationMetric }
            : null,
        secondsLeft,
      }),
  };
}
