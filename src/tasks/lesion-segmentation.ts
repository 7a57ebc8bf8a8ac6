import { mean } from "simple-statistics";
import { z } from "zod";
import { loadForeground } from "../cohort/case-volumes.js";
import { overlap } from "../native/kernels.js";
import { defineTask, type OptionsOf } from "./definition.js";
import { diceFrom } from "./metrics.js";
import { piradsOf } from "./pirads-classes.js";
import {
  channelFill,
  definedValues,
  disposable,
  filledChannels,
  meanOverCases,
  needing,
  sampleOf,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialLesionSegmentation } from "./trivial/lesion-segmentation.js";

const options = {
  /** Weight of false positives in the Tversky index. Salehi 2017: 0.3. */
  alpha: z.number().min(0).max(1).default(0.3),
  /** Weight of false negatives. Salehi 2017: 0.7. */
  beta: z.number().min(0).max(1).default(0.7),
  /**
   * The share of lesion that an untrained head answers with (Lin et al. 2017), 0.01 say; null: 0.5 or so, as weights are
   * drawn. The paper is silent.
   */
  prior: z.number().gt(0).lt(1).nullable().default(null),
  channelFill,
};

export type LesionSegmentationOptions = OptionsOf<typeof options>;

const kind = "lesion-segmentation";
const metric = "Dice";

/** The share of the cases without a lesion in which at least one voxel is taken for one. */
const falseAlarms = "False alarms (share of cases without a lesion)";

/**
 * Lesion segmentation (task 2 of the paper): T2W and one of ADC or high-b, drawn at random, to a mask of any lesion.
 * Tversky loss (Salehi 2017); Dice of sigmoid > 0.5, over the cases with a lesion and by the PI-RADS of the case. A case
 * without one has no Dice: beside it stands the share of those in which a lesion is found all the same.
 */
export const lesionSegmentation = (options: LesionSegmentationOptions): Task => ({
  kind,
  shape: { answers: "voxels", channels: 2, outputs: 1, depthScale: 1 },
  loss: () => ({ kind: "tversky", alpha: options.alpha, beta: options.beta }),
  ...(options.prior === null ? {} : { prior: options.prior }),
  metric,
  pictures: "mask",

  chance: "input",
  ...needing({ oneOf: ["t2w"] }, { oneOf: ["lesion"] }, { oneOf: ["adc", "hbv"] }),

  imagesShown: (channels) => filledChannels(2, channels, options.channelFill),

  async sample(volumes, channels, draw) {
    const diffusionRoles = (["adc", "hbv"] as const).filter((role) => volumes.roles.includes(role));
    const role = draw.pick(diffusionRoles);
    using t2w = await volumes.load("t2w");
    using diffusion = await volumes.load(role);
    using mask = await loadForeground(volumes, "lesion"); // any grade is a lesion
    const input = await stackChannels([t2w, diffusion], channels, options.channelFill);
    return sampleOf(input, mask);
  },

  async judge(logits, target) {
    // A logit above 0 is a probability above 0.5.
    const counts = await overlap(logits, target, 0);
    return counts.map((one) =>
      one.target === 0 ? { value: null, falseAlarm: one.prediction > 0 } : { value: diceFrom(one) },
    );
  },

  assess(judgements, cases) {
    const grades = [...new Set(cases.flatMap(({ labels }) => piradsOf(labels) ?? []))].sort((a, b) => a - b);
    const ofGrade = (grade: number) =>
      definedValues(judgements.filter((_, index) => piradsOf(cases[index]?.labels ?? {}) === grade));
    const byGrade = grades.flatMap((grade) => {
      const values = ofGrade(grade);
      return values.length === 0 ? [] : [[`Dice of PI-RADS ${grade}`, mean(values)]];
    });
    const alarms = judgements.flatMap(({ falseAlarm }) => falseAlarm ?? []);
    return meanOverCases(
      judgements,
      {
        ...Object.fromEntries(byGrade),
        ...(alarms.length === 0 ? {} : { [falseAlarms]: alarms.filter(Boolean).length / alarms.length }),
      },
      "it has no case with a lesion",
    );
  },

  async picture(sample, logits) {
    using mask = await sample.target.select(0, 0); // [D, H, W]
    const areas = await mask.sliceSums();
    const largest = Math.max(...areas);
    const slice = largest > 0 ? areas.indexOf(largest) : Math.floor(areas.length / 2);
    using input = await sample.input.select(0, 0);
    using answer = await logits.select(0, 0); // [1, D, H, W]
    using answerVolume = await answer.select(0, 0);
    using answerSlice = await answerVolume.select(0, slice);
    return disposable({
      slice,
      input: await input.select(0, slice),
      target: await mask.select(0, slice),
      prediction: await answerSlice.threshold(0),
    });
  },
});

export const lesionSegmentationTask = defineTask({
  kind,
  label: "Lesion segmentation",
  options,
  metric: { name: metric, better: "higher", margin: 0.02 },
  specialised: "unet-3d",
  create: lesionSegmentation,
  trivial: trivialLesionSegmentation,
});
