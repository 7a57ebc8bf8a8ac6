import type { CohortCase } from "../../cohort/manifest.js";
import { sumOf } from "../../common/numbers.js";
import { architectureOf } from "../../models/architectures/index.js";
import { coarser, type Extents, volumeOf } from "../../models/architectures/work.js";
import { gridOf } from "../../models/heads/head.js";
import { taskOf } from "../../tasks/index.js";
import type { CheckedStudy } from "./checked-study.js";
import { manifestOf } from "./divisions.js";
import { parametersOf } from "./memory.js";
import type { PlannedCell } from "./plan.js";
import { casesOf } from "./time-work.js";

/** About what a study takes on the disk, in bytes. */
export interface DiskUse {
  /** Prepared volumes, in the folder of `execution.cache`. */
  cacheBytes: number;
  /** What cells leave: weights after the last and of the best epoch, features and pictures of the test set. */
  resultsBytes: number;
  /** States of training and kept features of as many cells as run at once, the largest of them: gone when these are done. */
  progressBytes: number;
}

const bytesPerValue = 4;

/** What a study takes on the disk in all, whatever of it is there already. */
export function diskUseOf(checked: CheckedStudy): DiskUse {
  const { study, plan } = checked;
  const { device, devices = [device], jobs } = study.execution;
  const progress = plan.cells.map((cell) => progressValues(checked, cell)).sort((a, b) => b - a);
  return {
    cacheBytes: bytesPerValue * volumesOf(checked) * volumeOf(study.cohort.voxels),
    resultsBytes: bytesPerValue * sumOf(plan.cells.map((cell) => resultValues(checked, cell))),
    progressBytes: bytesPerValue * sumOf(progress.slice(0, Math.max(jobs, devices.length))),
  };
}

/** Volumes of every case that is in a set, or pretrained on: those of several cohorts are prepared once each. */
function volumesOf({ study, manifests, divisions }: CheckedStudy): number {
  const cases = new Map<string, CohortCase>();
  const take = (manifest: string, some: readonly CohortCase[]) => {
    for (const one of some) cases.set(JSON.stringify([manifest, one.id]), one);
  };
  for (const { cohorts } of divisions)
    for (const { manifest, cases: all, splits } of cohorts) {
      const unused = new Set(splits.unused);
      take(
        manifest,
        all.filter(({ id }) => !unused.has(id)),
      );
    }
  for (const { pretrain } of study.models)
    if (pretrain?.manifest) take(pretrain.manifest, manifestOf(manifests, pretrain.manifest).cases);
  return sumOf([...cases.values()].map(({ volumes }) => Object.keys(volumes).length));
}

/** Weights are written whole, twice: after the last epoch and of the best one. Of pretraining the encoder by itself and all. */
function resultValues(checked: CheckedStudy, cell: PlannedCell): number {
  const { study } = checked;
  const { test } = casesOf(checked, cell);
  const config = study.tasks.find(({ name }) => name === cell.task);
  const isSeen = config !== undefined && taskOf(config, cell.strategy ?? undefined).pictures !== null;
  const [height, width] = study.cohort.voxels;
  const pictures = isSeen ? 3 * test * height * width : 0;
  if (cell.network === null) return pictures;
  const { encoder, rest } = parametersOf(cell.network);
  if (cell.kind === "pretraining") {
    const { checkpointEvery } = study.execution;
    const kept = checkpointEvery === null ? 0 : Math.floor(cell.epochs / checkpointEvery);
    return encoder + rest + (1 + kept) * encoder;
  }
  const weights = cell.trains === "nothing" ? 0 : 2 * (encoder + rest);
  return weights + pictures + test * featuresOf(cell);
}

/** Pooled features of a case, at the end and along the encoder: means, maxima and class tokens of some depths. */
function featuresOf({ network }: PlannedCell): number {
  if (network === null || !("encoder" in network)) return 0;
  return 4 * sumOf(architectureOf(network.encoder).widths(network.encoder));
}

/**
 * What is learnt, with both moments of it, and the best weights beside them: a new state is written beside the one before. And
 * the features of an encoder that stays as it is.
 */
function progressValues(checked: CheckedStudy, cell: PlannedCell): number {
  const { network, trains, keptDraws } = cell;
  if (network === null || trains === "nothing") return 0;
  const { encoder, rest } = parametersOf(network);
  const learnt = rest + (trains === "head" ? 0 : encoder);
  const state = 2 * 3 * learnt + learnt;
  if (keptDraws === null || !("encoder" in network)) return state;
  const { train, validation } = casesOf(checked, cell);
  return state + (keptDraws * train + validation) * mapsOf(checked, cell);
}

/** Values of the maps that a head stands on; a classifier sees their mean alone. */
function mapsOf({ study }: CheckedStudy, cell: PlannedCell): number {
  const config = study.tasks.find(({ name }) => name === cell.task);
  if (cell.network === null || !("encoder" in cell.network) || config === undefined) return 0;
  const { encoder } = cell.network;
  const { slices, widths, patch } = architectureOf(encoder);
  const features = widths(encoder);
  const { shape } = taskOf(config, cell.strategy ?? undefined);
  if (shape.answers === "classes") return features.at(-1) ?? 0;
  const [height, width, depth] = study.cohort.voxels;
  const input: Extents = [height, width, depth / shape.depthScale];
  if (!slices) return sumOf(features.map((own, stage) => own * volumeOf(gridOf(encoder, input, stage))));
  const edge = patch?.(encoder) ?? 1;
  const depths = cell.network.head?.kind === "unetr" ? 4 : 1;
  return depths * (features.at(-1) ?? 0) * volumeOf(coarser(input, [edge, edge, 1]));
}
