import { availableParallelism } from "node:os";
import { messageOf, throwIfAborted } from "../../common/errors.js";
import { average, productOf } from "../../common/numbers.js";
import type { NetworkSpec } from "../../native/network-spec.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { setThreads } from "../../native/runtime.js";
import { Tensor } from "../../native/tensor.js";
import { Trainer, type TrainerOptions } from "../../native/trainer.js";
import { taskOf } from "../../tasks/index.js";
import type { Study } from "../config/schema.js";
import { forwardCost } from "../plan/estimate.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";
import { executionOf } from "./cell-context.js";

type Triple = readonly [number, number, number];

/** Height x width x depth at which steps are timed: two sizes, as part of a step does not grow with the volume. */
const probeSizes: readonly [Triple, Triple] = [
  [32, 32, 32],
  [64, 64, 32],
];
const timedSteps = 1;

/** How long the cells of a study would take, from steps that were timed on this machine. An estimate. */
export interface Probe {
  device: string;
  threads: number;
  /** By the cell's id; null where its network could not be timed, 0 where it takes none. */
  seconds: Record<string, number | null>;
  /** Why networks could not be timed. */
  faults: string[];
}

/**
 * Times a few training steps of each distinct network of a plan, on random input of a reduced size, and scales them by
 * the closed-form cost to the whole of every cell. Pretraining takes the pace of its encoder's other cells. Reading
 * volumes, sampling from diffusion models and cells side by side are left out.
 */
export async function probePlan(study: Study, plan: StudyPlan, signal?: AbortSignal): Promise<Probe> {
  const { device, jobs } = study.execution;
  const threads = study.execution.threads ?? Math.max(1, Math.floor(availableParallelism() / jobs));
  setThreads(threads);
  /** Seconds per unit of cost, by network. */
  const paces = new Map<string, number>();
  const tried = new Set<string>();
  const faults: string[] = [];
  for (const cell of plan.cells) {
    const key = JSON.stringify(cell.network);
    if (cell.kind === "pretraining" || cell.network === null || tried.has(key)) continue;
    tried.add(key);
    throwIfAborted(signal);
    try {
      paces.set(key, await paceOf(study, cell, cell.network, device));
    } catch (error) {
      faults.push(`${cell.id}: ${messageOf(error)}`);
    }
  }
  const ofEncoder = (network: NetworkSpec): number | null => {
    if (!("encoder" in network)) return null;
    const encoder = JSON.stringify(network.encoder);
    const alike = [...paces].flatMap(([key, pace]) => {
      const other = JSON.parse(key) as NetworkSpec;
      return "encoder" in other && JSON.stringify(other.encoder) === encoder ? [pace] : [];
    });
    return alike.length === 0 ? null : average(alike);
  };
  const seconds = Object.fromEntries(
    plan.cells.map(({ id, kind, network, cost }) => {
      if (network === null) return [id, 0];
      const pace = kind === "pretraining" ? ofEncoder(network) : (paces.get(JSON.stringify(network)) ?? null);
      return [id, pace === null ? null : pace * cost];
    }),
  );
  return { device, threads, seconds, faults };
}

/** Seconds per unit of `forwardCost` at the study's own size: a training step of one case is three units of it. */
async function paceOf(study: Study, cell: PlannedCell, spec: NetworkSpec, device: string): Promise<number> {
  const config = study.tasks.find(({ name }) => name === cell.task);
  if (config === undefined) throw new Error(`no task of the study is ${cell.task}`);
  const { depthScale, answers } = taskOf(config, cell.strategy ?? undefined).shape;
  const batch = answers === "classes" ? 2 : 1;
  const costAt = (size: Triple) => forwardCost(spec, [size[0], size[1], size[2] / depthScale]);
  const { voxels } = study.cohort;
  const sizes = probeSizes.map((size) =>
    size.map((extent, axis) => Math.min(extent, voxels[axis] as number)),
  );
  const [small, large] = sizes as unknown as [Triple, Triple];

  using network = await PlacedNetwork.build(spec, { device });
  network.precision = study.execution.precision;
  const secondsAt = async (size: Triple) =>
    (await timeStep(network, batch, [size[2] / depthScale, size[0], size[1]], executionOf(study, null))) /
    batch;
  const slow = await secondsAt(large);
  const full = costAt(voxels);
  const [low, high] = [costAt(small), costAt(large)];
  if (high >= full || low >= high) return ((slow / high) * full) / (3 * full);
  // A straight line through both, for neither a negative part that is fixed nor a time that falls with the size.
  const quick = await secondsAt(small);
  const slope = Math.min(Math.max(0, slow - quick) / (high - low), slow / high) || slow / high;
  return (slow + slope * (full - high)) / (3 * full);
}

/** The shortest of a few training steps on a batch of inputs [depth, height, width], in seconds. */
async function timeStep(
  network: PlacedNetwork,
  batch: number,
  size: Triple,
  execution: Partial<TrainerOptions>,
): Promise<number> {
  const channels = "model" in network.spec ? network.spec.model.channels : network.spec.encoder.channels;
  using input = filled([batch, channels, ...size], network.device);
  using answer = await network.forward(input);
  const classes = answer.shape.length === 2;
  using target = classes
    ? Tensor.from(new BigInt64Array(batch), [batch], network.device)
    : filled([...answer.shape], network.device);
  using trainer = await Trainer.create(network, {
    loss: classes ? { kind: "cross-entropy" } : { kind: "l1" },
    weightDecay: 0,
    ...execution,
  });
  let shortest = Number.POSITIVE_INFINITY;
  for (let step = 0; step <= timedSteps; step++) {
    const started = performance.now();
    await trainer.step(input, target, { learningRate: 1e-6, seed: step });
    if (step > 0) shortest = Math.min(shortest, (performance.now() - started) / 1000);
  }
  return shortest;
}

/** Values that differ from voxel to voxel, between 0 and 1. */
function filled(shape: number[], device: string): Tensor {
  const count = productOf(shape);
  return Tensor.from(
    Float32Array.from({ length: count }, (_, index) => (index % 97) / 97),
    shape,
    device,
  );
}
