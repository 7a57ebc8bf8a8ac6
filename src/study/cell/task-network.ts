import { join } from "node:path";
import { TransferLimitsError } from "../../common/errors.js";
import { seedFor } from "../../common/random.js";
import { comesFromFile } from "../../models/architectures/index.js";
import { loadEncoder } from "../../models/checkpoints/load-weights.js";
import { headParameters, lastBlocksAndNorms, startAnswersAt } from "../../models/parameters.js";
import { channelsShown, encoderOf } from "../../models/specification.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { encoderFile, studyPaths } from "../../results/paths.js";
import type { Task } from "../../tasks/task.js";
import type { ModelConfig, TrainingSettings } from "../config/schema.js";
import { seedOf } from "../config/seeds.js";
import { readingOf } from "../plan/check-weights.js";
import { batchesOfStatistics, isDrawnAndKept } from "../plan/plan.js";
import type { CellContext, CellJob } from "./cell-context.js";
import { settleNormStatistics } from "./norm-statistics.js";
import type { OpenSets } from "./test-set.js";
import { type TrainingBatches, trainingBatch } from "./training-batch.js";

/** The network of a task's cell as its training, or its test, begins. */
export interface TaskNetwork extends Disposable {
  network: PlacedNetwork;
  /** Channels that it takes. */
  channels: number;
  /** SHA-256 of the file that its encoder comes from; null: it was drawn. */
  weights: string | null;
  /** The names of what is trained of it; null: everything. */
  trainable: string[] | null;
}

/**
 * Builds the network of a cell for a task. Every comparator of a model and a seed starts from the same drawn weights.
 *
 * @param stream the streams of the cell's training
 * @throws `BAD_CHECKPOINT` where the encoder's file is damaged, or not the one that the study began with
 */
export async function buildTaskNetwork(
  context: CellContext,
  task: Task,
  sets: OpenSets,
  stream: TrainingBatches["stream"],
): Promise<TaskNetwork> {
  const { study, cell, signal } = context;
  const spec = cell.network as NetworkSpec;
  const channels = channelsShown(spec, task.shape.channels);
  const isPretrained = cell.startsFrom === "pretrained";
  const network = await PlacedNetwork.build(spec, {
    device: study.execution.device,
    seed: seedFor(study.seed, "weights", cell.model, seedOf(study, "weights", cell.seed)),
    drawn: !isPretrained,
  });
  try {
    network.precision = study.execution.precision;
    network.cudaGraphs = study.execution.cudaGraphs;
    if (task.prior !== undefined) await startAnswersAt(network, task.prior);
    const weights = isPretrained ? await startFromPretraining(network, context) : null;
    if (isDrawnAndKept(cell) && sets.train.length > 0) {
      const { batchSize } = cell.training as TrainingSettings;
      const order = stream("norm statistics").shuffle(sets.train);
      const plain: TrainingBatches = { task, channels, augmentation: null, kept: null, stream };
      await settleNormStatistics(
        network,
        { loss: task.loss(sets.train) },
        batchesOfStatistics(sets.train.length, batchSize),
        (index) => trainingBatch(plain, turnOf(order, index, batchSize), index + 1),
        signal,
      );
    }
    const head = headParameters(network);
    const trainable = {
      everything: () => null,
      partial: () => [...head, ...lastBlocksAndNorms(network, cell.trainedBlocks)],
      head: () => head,
      nothing: () => [],
    }[cell.trains]();
    return { network, channels, weights, trainable, [Symbol.dispose]: () => network.dispose() };
  } catch (error) {
    network.dispose();
    throw error;
  }
}

/**
 * Gives a network the pretrained encoder of a model.
 *
 * @returns SHA-256 of its file
 * @throws `BAD_CHECKPOINT` where that is damaged, or not the one that the study began with
 */
async function startFromPretraining(
  network: PlacedNetwork,
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

/** The cases of batch `index` of `size`, going round and round. */
const turnOf = <Item>(items: readonly Item[], index: number, size: number): Item[] =>
  Array.from({ length: size }, (_, i) => items[(index * size + i) % items.length] as Item);
