import { VolumeBank } from "../../cohort/volume-bank.js";
import type { MeasuredMetric } from "../../common/progress.js";
import { randomStream } from "../../common/random.js";
import { countOf, howDrawn, parameterCount } from "../../models/parameters.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import type { CellResult } from "../../results/cell.js";
import { taskOf } from "../../tasks/index.js";
import type { TaskConfig } from "../config/schema.js";
import { encoderOfCell } from "../plan/pretrained-encoders.js";
import { type CellContext, labelOf, onDamageOf } from "./cell-context.js";
import { CostMeter } from "./cost-meter.js";
import { evaluate } from "./evaluate.js";
import { fidelityEvent, fidelityOf, refuseUnsound } from "./fidelity.js";
import { networkInWords } from "./network-in-words.js";
import { depthNames } from "./pooled-features.js";
import { buildTaskNetwork } from "./task-network.js";
import { openCheckpoints, trainingStreams, trainOnTask } from "./task-training.js";
import { openSets, test, testMetricOf } from "./test-set.js";
import { completeTestedCell } from "./tested-cell.js";

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
  const { study, cell, cohort, claim, signal } = context;
  const config = study.tasks.find(({ name }) => name === cell.task) as TaskConfig;
  const plain = taskOf(config, cell.strategy as CellResult["strategy"]);
  await passGate(context);
  using bank = VolumeBank.on(study.execution.device);
  const sets = await openSets(plain, cohort, cell, study, bank);
  const task = plain.onTraining?.(sets.train) ?? plain;
  const meter = await CostMeter.start(context);

  const streams = trainingStreams(context, task);
  const stream = (...rest: (string | number)[]) => randomStream(study.seed, ...streams, ...rest);
  using built = await buildTaskNetwork(context, task, sets, stream);
  const { network, channels, weights, trainable } = built;
  const checkpoints = await openCheckpoints(context, built);
  const trained = await trainOnTask(context, task, sets, built, checkpoints, stream);
  if (claim === null) return { metric: null };
  const state = trained?.state ?? null;
  if (state === null) context.tell({ kind: "cell-started", cell: labelOf(cell), epochs: 0, startEpoch: 0 });
  if (state?.best && state.best.epoch !== state.epoch) {
    await checkpoints.restoreBest(state.best, network);
  }

  // Distances compare embeddings more closely than bfloat16 tells apart.
  network.precision = "float32";
  const spec = cell.network as NetworkSpec;
  using tested = await test(task, depthNames(spec), (visit) =>
    evaluate({ task, network, channels, seed: study.seed, features: null }, sets.test, signal, visit),
  );
  const parameters = parameterCount(network);
  // Awaited, for what testing gave lives until this function ends.
  return await completeTestedCell(
    claim,
    cell,
    { ...sets, tested },
    {
      network: {
        architecture: networkInWords(spec),
        parameters,
        trainable: trainable === null ? parameters : countOf(network, trainable),
        ...(cell.startsFrom === "random" ? howDrawn(network) : {}),
      },
      ...(state && cell.training?.augmentation ? { augmentation: cell.training.augmentation } : {}),
      metric: testMetricOf(task, config, tested.evaluation),
      curve: state?.curve ?? [],
      bestEpoch: state?.best?.epoch ?? null,
      cost: await meter.total(context, trained),
      basis: { ...context.basis, weights },
    },
    async (partial) => {
      if (state) await checkpoints.keep(state, network, partial);
    },
  );
}
