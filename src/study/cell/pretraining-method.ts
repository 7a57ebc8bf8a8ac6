import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { wordsOfColumn } from "../../cohort/needs.js";
import { TransferLimitsError } from "../../common/errors.js";
import type { RandomStream } from "../../common/random.js";
import { architectureOf } from "../../models/architectures/index.js";
import { maskedAutoencoderLoss, maskedBatch } from "../../models/pretraining/masked-autoencoder.js";
import { contrastBatch, patchContrastLoss, showsLesion } from "../../models/pretraining/patch-contrast.js";
import { type Sees, seenOfProstate } from "../../models/pretraining/sees.js";
import {
  distillationAt,
  type SlicedCase,
  selfDistillationLoss,
  slicedCase,
  sliceViews,
  standardiseInput,
} from "../../models/pretraining/self-distillation.js";
import type { EncoderSpec } from "../../native/network-spec.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import type { LossSpec } from "../../native/trainer.js";
import type { EpochRecord } from "../../results/cell.js";
import type { PretrainSettings } from "../config/schema.js";
import type { Batch } from "./batch.js";
import type { ViewsBatch } from "./train.js";

/** How an encoder is pretrained: on which of the cases, by which loss, and what a step sees. */
export interface PretrainingMethod {
  /** Those of the cases that can teach. */
  cases: readonly CaseVolumes[];
  loss: LossSpec;
  /** Whether a teacher follows the network; its encoder is then the one to keep. */
  hasTeacher: boolean;
  /** What is done to fresh weights before the first step. */
  begin(network: PlacedNetwork): Promise<void>;
  /**
   * What a step sees of these cases (indices into `cases`); `draws[i]` is the stream of case i in this epoch, under a
   * name that says what is drawn.
   */
  batch(
    indices: readonly number[],
    draw: (what: string, volumes: CaseVolumes) => RandomStream,
    epoch: number,
    progress: number,
  ): Promise<Batch | ViewsBatch>;
  /** Throws where an epoch shows that the method cannot work. */
  check(record: EpochRecord): void;
}

/**
 * The method of these settings on these cases.
 *
 * @throws `BAD_MANIFEST` where none of the cases can teach
 */
export async function pretrainingMethod(
  settings: PretrainSettings,
  encoder: EncoderSpec,
  opened: readonly CaseVolumes[],
  device: string,
  sees: Sees = seenOfProstate,
): Promise<PretrainingMethod> {
  const those = <T>(all: readonly T[], indices: readonly number[]) => indices.map((index) => all[index] as T);
  switch (settings.method) {
    case "masked-autoencoder":
      return {
        cases: opened,
        loss: maskedAutoencoderLoss(settings.normaliseTargets),
        hasTeacher: false,
        begin: async () => {},
        batch: (indices, draw) => {
          const chosen = those(opened, indices);
          const { patch, maskRatio } = settings;
          const draws = chosen.map((volumes) => draw("mask", volumes));
          return maskedBatch(chosen, draws, {
            ...{ channels: encoder.channels, patch, maskRatio, device },
            images: sees.images,
          });
        },
        check: () => {},
      };
    case "patch-contrast": {
      const cases = await withLesions(opened, sees);
      return {
        cases,
        loss: patchContrastLoss(settings),
        hasTeacher: false,
        begin: async () => {},
        batch: (indices) => contrastBatch(those(cases, indices), () => true, sees),
        check: ({ trainingLoss }) => {
          if (trainingLoss === 0) throw nothingToContrast(settings);
        },
      };
    }
    case "self-distillation": {
      const { patch, takesPosition } = architectureOf(encoder);
      if (patch === undefined)
        throw new TransferLimitsError(
          "INTERNAL",
          `${encoder.family} cannot be pretrained by self-distillation`,
        );
      const shown = {
        channels: encoder.channels,
        patch: patch(encoder),
        takesPosition: takesPosition?.(encoder) ?? false,
      };
      const cases: SlicedCase[] = await Promise.all(opened.map((one) => slicedCase(one, sees)));
      return {
        cases: opened,
        loss: selfDistillationLoss(settings),
        hasTeacher: true,
        begin: (network) => standardiseInput(network, cases),
        batch: async (indices, draw, epoch, progress) => {
          const chosen = those(cases, indices);
          const draws = chosen.map(({ volumes }) => draw("views", volumes));
          return {
            views: await sliceViews(chosen, draws, shown, settings.distillation),
            schedule: distillationAt(settings.distillation, epoch, progress),
          };
        },
        check: () => {},
      };
    }
  }
}

/** The cases that a contrast of lesions with other tissue can learn from. */
async function withLesions(cases: readonly CaseVolumes[], sees: Sees): Promise<CaseVolumes[]> {
  const shown = await Promise.all(cases.map((one) => showsLesion(one, sees)));
  const kept = cases.filter((_, index) => shown[index]);
  if (kept.length > 0) return kept;
  throw new TransferLimitsError(
    "BAD_MANIFEST",
    `Expected at least one case with a ${wordsOfColumn(sees.images[0])} and a ${wordsOfColumn(sees.mask ?? "lesion", "mask")} that ` +
      `shows something to pretrain on, but of ${cases.length} cases there is none`,
  );
}

const nothingToContrast = ({ lesionShare }: PretrainSettings): TransferLimitsError =>
  new TransferLimitsError(
    "BAD_CONFIG",
    `Expected patches that hold more than ${lesionShare} of lesion beside others, but no batch of an epoch has both, so ` +
      "that there is nothing to contrast. Lower pretrain.lesionShare, or take smaller voxels or patches",
  );
