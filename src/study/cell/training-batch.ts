import type { CaseVolumes } from "../../cohort/case-volumes.js";
import type { RandomStream } from "../../common/random.js";
import { changeIntensities } from "../../native/augmentation.js";
import { type Augmentation, drawIntensities, drawMotion, movedCase } from "../../tasks/augmentation.js";
import type { Task } from "../../tasks/task.js";
import { type Batch, collate } from "./batch.js";
import { type FeatureStore, keptBatch } from "./features.js";

/** How training cases of a task become batches. */
export interface TrainingBatches {
  task: Task;
  /** Channels that the network takes. */
  channels: number;
  augmentation: Augmentation | null;
  /** Where a frozen encoder's features are kept, and of how many draws of a case; null: they are not. */
  kept: { store: FeatureStore; draws: number } | null;
  /** The stream of that name, of this training. */
  stream(...name: (string | number)[]): RandomStream;
}

/** The batch of these cases in an epoch. What chance decides follows from the epoch and the case, and nothing else. */
export async function trainingBatch(
  batches: TrainingBatches,
  cases: readonly CaseVolumes[],
  epoch: number,
): Promise<Batch> {
  const { task, channels, augmentation, kept, stream } = batches;
  const sample = (volumes: CaseVolumes, ...draw: (string | number)[]) =>
    task.sample(volumes, channels, stream("case", ...draw, volumes.case));
  if (kept) {
    return keptBatch(kept.store, cases, epoch, kept.draws, (volumes, draw) => sample(volumes, "kept", draw));
  }
  if (augmentation === null) return collate(await Promise.all(cases.map((one) => sample(one, epoch))));
  const drawOf = (volumes: CaseVolumes) => (what: string) =>
    stream("augmentation", what, epoch, volumes.case);
  const moved = cases.map((one) => movedCase(one, drawMotion(augmentation, drawOf(one))));
  const batch = await collate(await Promise.all(moved.map((one) => sample(one, epoch))));
  return withIntensities(batch, batches, augmentation, cases.map(drawOf));
}

/** The batch with its images in other intensities; what else its channels hold, and the target, stay as they are. */
async function withIntensities(
  batch: Batch,
  { task, channels }: TrainingBatches,
  augmentation: Augmentation,
  draws: readonly ((what: string) => RandomStream)[],
): Promise<Batch> {
  const { scale, offset } = augmentation.intensity;
  if (scale === 0 && offset === 0) return batch;
  const shown = task.imagesShown(channels);
  const images = 1 + Math.max(...shown.map((image) => image ?? -1));
  const changes = draws.flatMap((draw) => {
    const ofImages = drawIntensities(augmentation, images, draw);
    return shown.map((image) => (image === null ? undefined : ofImages[image]) ?? { gain: 1, offset: 0 });
  });
  using before = batch.input;
  try {
    return { ...batch, input: await changeIntensities(before, changes) };
  } catch (error) {
    batch.target.dispose();
    throw error;
  }
}
