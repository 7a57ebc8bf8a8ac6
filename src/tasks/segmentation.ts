import { mean } from "simple-statistics";
import { z } from "zod";
import type { CaseVolumes } from "../cohort/case-volumes.js";
import { foregroundAbove } from "../common/foreground.js";
import { overlap } from "../native/kernels.js";
import { Tensor } from "../native/tensor.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { spreadOfDice } from "./expected-spreads.js";
import { floorFromZero } from "./floors.js";
import { diceFrom } from "./metrics.js";
import { imageFault, imageOption, onReference } from "./own-image.js";
import { loadClasses, type Segmenting, segmentationOptions } from "./segmentation-classes.js";
import { surfaceDistances } from "./surface-distances.js";
import {
  definedValues,
  disposable,
  filledChannels,
  type Judgement,
  meanOverCases,
  needing,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialSegmentation } from "./trivial/segmentation.js";

const label = z.int().min(1).max(64);

const options = {
  /** The image that is shown; default: the cohort's reference. */
  image: imageOption,
  /** Images of which one, drawn for each sample, is shown beside it; default: none. */
  drawn: z.array(z.string().min(1)).min(1).optional(),
  /** What is to be found. */
  mask: z.string().min(1),
  /** By name, the labels of each class; default: each label that the cohort names, or all that is above 0. */
  classes: z.record(z.string().min(1).max(60), z.array(label).min(1)).optional(),
  /** How far apart two surfaces may lie and still agree, in mm: of the normalised surface Dice. */
  tolerance: z.number().positive().default(1),
  ...segmentationOptions,
};

/**
 * An image, and one of several others where that is asked for, to the masks of one or several classes, each by a sigmoid of
 * its own. Tversky loss (Salehi 2017), the mean over classes; Dice of sigmoid > 0.5, over the classes that a case has. Beside
 * it each class's Dice, and the normalised surface Dice and the 95th percentile of surface distances.
 */
export function segmenting(what: Segmenting): Task {
  const { name, image, drawn, mask: role, loss } = what;
  const own = drawn.length === 0 ? 1 : 2;
  const names = what.classes?.map((one) => one.name) ?? null;
  const [firstDrawn, ...otherDrawn] = drawn;
  return {
    name,
    shape: { answers: "voxels", channels: own, outputs: names?.length ?? 1, depthScale: 1 },
    loss: () => ({ kind: "tversky", alpha: loss.alpha, beta: loss.beta }),
    ...(loss.prior === null ? {} : { prior: loss.prior }),
    metric: "Dice",
    pictures: "mask",
    chance: own === 2 ? "input" : "none",
    ...needing(
      { oneOf: [image] },
      { oneOf: [role], holds: "mask" },
      ...(firstDrawn === undefined
        ? []
        : [{ oneOf: [firstDrawn, ...otherDrawn] as const, use: "takes its second image from" }]),
    ),

    imagesShown: (channels) => filledChannels(own, channels, loss.channelFill),

    async sample(volumes, channels, draw) {
      const there = drawn.filter((one) => volumes.roles.includes(one));
      const second = there.length === 0 ? null : draw.pick(there);
      using first = await volumes.load(image);
      using other = second === null ? null : await volumes.load(second);
      const input = await stackChannels(other ? [first, other] : [first], channels, loss.channelFill);
      const masks: Tensor[] = [];
      try {
        masks.push(...(await loadClasses(volumes, what)));
        const target = await Tensor.gather(
          masks,
          masks.map((_, index) => index),
        );
        return disposable({ input, target });
      } catch (error) {
        input.dispose();
        throw error;
      } finally {
        for (const one of masks) one.dispose();
      }
    },

    async judge(logits, target, spacing) {
      // A logit above 0 is a probability above 0.5.
      if (names === null && what.tolerance === null) {
        const counts = await overlap(logits, target, 0);
        return counts.map((one) =>
          one.target === 0 ? { value: null, falseAlarm: one.prediction > 0 } : { value: diceFrom(one) },
        );
      }
      const judgements: Judgement[] = [];
      for (let row = 0; row < (target.shape[0] as number); row++)
        judgements.push(await judgeCase(what, logits, target, row, spacing));
      return judgements;
    },

    assess(judgements) {
      const alarms = judgements.flatMap(({ falseAlarm }) => falseAlarm ?? []);
      const parts = [...new Set(judgements.flatMap(({ parts = {} }) => Object.keys(parts)))];
      const secondary = Object.fromEntries(
        parts.map((part) => {
          const values = judgements.flatMap((one) => one.parts?.[part] ?? []);
          return [part, values.length === 0 ? null : mean(values)];
        }),
      );
      const share = alarms.filter(Boolean).length / alarms.length;
      return meanOverCases(
        judgements,
        {
          ...secondary,
          ...(alarms.length === 0 ? {} : { [`False alarms (share of cases without ${role})`]: share }),
        },
        `it has no case with ${role}`,
      );
    },

    async picture(sample, logits) {
      using mask = await anyClass(sample.target, foregroundAbove); // [D, H, W]
      const areas = await mask.sliceSums();
      const largest = Math.max(...areas);
      const slice = largest > 0 ? areas.indexOf(largest) : Math.floor(areas.length / 2);
      using input = await sample.input.select(0, 0);
      using answer = await logits.select(0, 0); // [outputs, D, H, W]
      using found = await anyClass(answer, 0);
      return disposable({
        slice,
        input: await input.select(0, slice),
        target: await mask.select(0, slice),
        prediction: await found.select(0, slice),
      });
    },
  };
}

/** 1 where any class [classes, D, H, W] lies above a value, [D, H, W]. */
async function anyClass(classes: Tensor, value: number): Promise<Tensor> {
  const count = classes.shape[0] as number;
  const parts: Tensor[] = [];
  try {
    for (let one = 0; one < count; one++) {
      using volume = await classes.select(0, one);
      parts.push(await volume.threshold(value));
    }
    using sum = await Tensor.combine(parts.map((part) => [1, part]));
    return await sum.threshold(0.5);
  } finally {
    for (const part of parts) part.dispose();
  }
}

/** How one case was answered: Dice over the classes that it has, and each class by itself. */
async function judgeCase(
  { classes, tolerance }: Segmenting,
  logits: Tensor,
  target: Tensor,
  row: number,
  spacing: CaseVolumes["spacing"] | undefined,
): Promise<Judgement> {
  using answered = await logits.select(0, row); // [outputs, D, H, W]
  using wanted = await target.select(0, row);
  const parts: Record<string, number | null> = {};
  const values: number[] = [];
  let found = false;
  for (const [index, name] of (classes?.map((one) => one.name) ?? [null]).entries()) {
    using answer = await answered.select(0, index); // [D, H, W]
    using truth = await wanted.select(0, index);
    using one = await Tensor.gather([answer], [0]);
    using other = await Tensor.gather([truth], [0]);
    const [counts] = await overlap(one, other, 0);
    if (counts === undefined) continue;
    found ||= counts.prediction > 0;
    const dice = counts.target === 0 ? null : diceFrom(counts);
    if (dice !== null) values.push(dice);
    const of = name === null ? "" : ` of ${name}`;
    if (name !== null) parts[`Dice${of}`] = dice;
    if (tolerance === null || spacing === undefined) continue;
    const isMeasured = counts.target > 0 && counts.prediction > 0;
    const distances = isMeasured ? await surfaceDistances(answer, truth, spacing, tolerance) : null;
    // Nothing found of what is there: no surface agrees, and none is at any distance.
    const ofMiss = counts.target > 0 ? 0 : null;
    parts[`Surface Dice at ${tolerance} mm${of}`] = distances?.surfaceDice ?? ofMiss;
    parts[`95 % Hausdorff distance${of} (mm)`] = distances?.hausdorff95 ?? null;
  }
  if (values.length === 0) return { value: null, falseAlarm: found, parts };
  return { value: mean(values), parts };
}

type Options = Named<OptionsOf<typeof options>>;

const what = ({ name = "segmentation", image = "", drawn = [], mask, classes, ...rest }: Options) => {
  const { tolerance, ...loss } = rest;
  const named = Object.entries(classes ?? {}).map(([of, labels]) => ({ name: of, labels }));
  return {
    ...{ name, image, drawn, mask, tolerance, loss },
    classes: named.length === 0 ? null : named,
  } satisfies Segmenting;
};

export const segmentationTask = defineTask({
  kind: "segmentation",
  label: "Segmentation",
  options,
  metric: { name: "Dice", better: "higher", floor: floorFromZero, margin: 0.02, spread: spreadOfDice },
  specialised: "unet-3d",
  complete: (given, { reference, masks }) => {
    const labels = Object.entries(masks[given.mask]?.labels ?? {});
    const classes =
      given.classes ??
      (labels.length === 0
        ? undefined
        : Object.fromEntries(labels.map(([number, of]) => [of, [Number(number)]])));
    return { ...onReference(given, { reference }), ...(classes ? { classes } : {}) };
  },
  faults: ({ image, drawn = [], mask, classes = {} }, { columns }) => {
    const wrong = [
      ...imageFault({ image }, columns),
      ...drawn.flatMap((one, index) => columnFault(columns, "images", ["drawn", index], one)),
      ...columnFault(columns, "masks", ["mask"], mask),
    ];
    const known = columns.masks[mask]?.labels;
    const fault = (path: PropertyKey[], message: string) => wrong.push({ of: "task", path, message });
    if (columns.masks[mask] !== undefined && known === undefined && Object.keys(classes).length > 0)
      fault(
        ["classes"],
        `expected none, as the labels of ${mask} are one foreground; name them in cohort.columns`,
      );
    const seen = new Set<number>();
    for (const [name, labels] of Object.entries(classes)) {
      for (const one of labels) {
        if (known !== undefined && known[one] === undefined)
          fault(
            ["classes", name],
            `expected labels of ${mask} (${Object.keys(known).join(", ")}) but received ${one}`,
          );
        if (seen.has(one))
          fault(["classes", name], `expected each label in one class, but ${one} stands in two`);
        seen.add(one);
      }
    }
    return wrong;
  },
  create: (given) => segmenting(what(given)),
  trivial: (given) => trivialSegmentation(what(given)),
});

/** The values of judgements of some cases, for what presets tell beside the whole. */
export const valuesOf = (judgements: readonly Judgement[], chosen: (index: number) => boolean): number[] =>
  definedValues(judgements.filter((_, index) => chosen(index)));
