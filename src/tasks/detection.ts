import { z } from "zod";
import { shows } from "../cohort/needs.js";
import { foregroundAbove } from "../common/foreground.js";
import { sumOf } from "../common/numbers.js";
import { type CandidateThreshold, detect } from "../native/detections.js";
import { Tensor } from "../native/tensor.js";
import { columnFault, defineTask, type Named, type OptionsOf } from "./definition.js";
import { sensitivityAtFalsePositives } from "./drawn-metrics.js";
import { spreadOfPiCai } from "./expected-spreads.js";
import { floorFromZero, floorOfPiCai } from "./floors.js";
import { matchLesions } from "./lesion-matching.js";
import { loadClasses, segmentationOptions } from "./segmentation-classes.js";
import { aucName, averagePrecisionName, piCaiName, valueOverSet } from "./set-metrics.js";
import {
  disposable,
  filledChannels,
  type Judgement,
  needing,
  type Sample,
  stackChannels,
  type Task,
} from "./task.js";
import { trivialDetection } from "./trivial/detection.js";

const options = {
  /** The images that are shown, a channel each; default: the cohort's reference. */
  images: z.array(z.string().min(1)).min(1).optional(),
  /** The mask whose connected parts are the lesions; one without foreground is a case without a lesion. */
  mask: z.string().min(1),
  /** What it is judged by; the PI-CAI score takes cases with and without a lesion. */
  metric: z.enum(["pi-cai", "average-precision"]).default("pi-cai"),
  /**
   * From which probability on voxels make a candidate: `dynamic`: candidate by candidate the highest of what is left, divided;
   * `dynamic-fast`: the highest of the case, divided; or a number.
   */
  threshold: z.union([z.enum(["dynamic", "dynamic-fast"]), z.number().gt(0).lt(1)]).default("dynamic"),
  /** By what a dynamic threshold divides. */
  divisor: z.number().gt(1).max(1000).default(2.5),
  /** Candidates with fewer voxels are dropped. */
  fewestVoxels: z.int().min(1).max(1_000_000).default(11),
  /** Of `dynamic`: how many candidates a case has at most. */
  candidates: z.int().min(1).max(1000).default(5),
  /** Intersection over union from which on a candidate hits a lesion. */
  leastOverlap: z.number().gt(0).max(1).default(0.1),
  ...segmentationOptions,
};

/** False positives a case at which the FROC curve is told. */
const frocRates = [0.5, 1, 2];

const metricNames = { "pi-cai": piCaiName, "average-precision": averagePrecisionName } as const;

/** What is looked for, in what, and how candidates are found and judged. */
export interface Detecting {
  name: string;
  images: readonly [string, ...string[]];
  mask: string;
  metric: (typeof metricNames)[keyof typeof metricNames];
  candidates: CandidateThreshold & { fewestVoxels: number };
  leastOverlap: number;
  loss: OptionsOf<typeof segmentationOptions>;
}

/** The mask alone, any label of which is a lesion. */
const lesionsOf = ({ mask }: Pick<Detecting, "mask">) => ({ mask, classes: null });

/**
 * Lesions by a map of probabilities: candidates are its connected parts, a case's score is that of its highest candidate, and
 * a candidate that overlaps enough with a lesion hits it, one to one. Tversky loss, as in segmentation. Judged by the PI-CAI
 * score, half of it the average precision of lesions and half the area under the ROC curve of cases (Saha et al. 2024); beside
 * it both, and the share of lesions found at so many false positives a case (FROC).
 */
export function detecting(what: Detecting): Task {
  const { name, images, mask, metric, candidates, leastOverlap, loss } = what;
  const own = images.length;
  const oneSided = (positives: readonly boolean[]): string | null => {
    if (!positives.includes(true)) return `it has no case with ${mask}`;
    return metric === piCaiName && !positives.includes(false) ? `it has no case without ${mask}` : null;
  };
  const find = (logits: Tensor, truth: Tensor) => detect(logits, truth, { ...candidates, logits: true });
  return {
    name,
    shape: { answers: "voxels", channels: own, outputs: 1, depthScale: 1 },
    loss: () => ({ kind: "tversky", alpha: loss.alpha, beta: loss.beta }),
    ...(loss.prior === null ? {} : { prior: loss.prior }),
    metric,
    floor: metric === piCaiName ? floorOfPiCai : floorFromZero,
    pictures: "mask",
    chance: "none",
    ...needing(...images.map((image) => ({ oneOf: [image] as const })), { oneOf: [mask], holds: "mask" }),

    imagesShown: (channels) => filledChannels(own, channels, loss.channelFill),

    async sample(volumes, channels): Promise<Sample> {
      const shown: Tensor[] = [];
      try {
        for (const image of images) shown.push(await volumes.load(image));
        const input = await stackChannels(shown, channels, loss.channelFill);
        try {
          const [lesions] = await loadClasses(volumes, lesionsOf(what));
          using only = lesions as Tensor;
          return disposable({ input, target: await Tensor.gather([only], [0]) });
        } catch (error) {
          input.dispose();
          throw error;
        }
      } finally {
        for (const one of shown) one.dispose();
      }
    },

    async judge(logits, target) {
      const judgements: Judgement[] = [];
      for (let row = 0; row < (target.shape[0] as number); row++) {
        using answered = await volumeOf(logits, row);
        using truth = await volumeOf(target, row);
        using detections = await find(answered, truth);
        const found = matchLesions(detections, leastOverlap);
        const highest = detections.candidates.reduce((most, one) => Math.max(most, one.confidence), 0);
        judgements.push({ value: highest, positive: found.lesions > 0, found });
      }
      return judgements;
    },

    undefinedOn: (cases) => {
      // That a mask shows something nobody knows before it was opened; that it shows nothing is known only afterwards.
      const shown = cases.map((one) => shows(one, mask));
      return shown.includes(true) ? null : oneSided(shown);
    },

    assess(judgements) {
      const found = judgements.flatMap((one) => one.found ?? []);
      const value = valueOverSet(metric, judgements);
      const reason = oneSided(judgements.map(({ positive }) => positive === true)) ?? "it is undefined";
      const others = [averagePrecisionName, aucName, piCaiName].filter((other) => other !== metric);
      return {
        ...(value === null ? { value, reason } : { value }),
        standardDeviation: null,
        secondary: {
          ...Object.fromEntries(others.map((other) => [other, valueOverSet(other, judgements)])),
          ...Object.fromEntries(
            frocRates.map((rate) => [
              `Sensitivity at ${rate} false positives a case`,
              sensitivityAtFalsePositives(found, rate),
            ]),
          ),
        },
      };
    },

    async picture(sample, logits) {
      using truth = await volumeOf(sample.target, null);
      using answered = await volumeOf(logits, 0);
      using detections = await find(answered, truth);
      using there = await truth.threshold(foregroundAbove);
      using marked = await detections.map.threshold(0);
      const areas = await (sumOf(await there.sliceSums()) > 0 ? there : marked).sliceSums();
      const largest = Math.max(...areas);
      const slice = largest > 0 ? areas.indexOf(largest) : Math.floor(areas.length / 2);
      using input = await sample.input.select(0, 0);
      return disposable({
        slice,
        input: await input.select(0, slice),
        target: await there.select(0, slice),
        prediction: await marked.select(0, slice),
      });
    },
  };
}

/** The only channel of a case [1, D, H, W], or of one row of a batch [N, 1, D, H, W]. */
async function volumeOf(tensor: Tensor, row: number | null): Promise<Tensor> {
  if (row === null) return tensor.select(0, 0);
  using one = await tensor.select(0, row);
  return one.select(0, 0);
}

type Options = Named<OptionsOf<typeof options>>;

const what = ({
  name = "detection",
  images = [],
  mask,
  metric,
  leastOverlap,
  ...rest
}: Options): Detecting => {
  const { threshold, divisor, fewestVoxels, candidates, alpha, beta, prior, channelFill } = rest;
  const how: CandidateThreshold =
    threshold === "dynamic"
      ? { kind: "of-candidates", divisor, most: candidates }
      : threshold === "dynamic-fast"
        ? { kind: "of-map", divisor }
        : { kind: "fixed", threshold };
  return {
    ...{ name, mask, leastOverlap },
    images: images as [string, ...string[]],
    metric: metricNames[metric],
    candidates: { ...how, fewestVoxels },
    loss: { alpha, beta, prior, channelFill },
  };
};

export const detectionTask = defineTask({
  kind: "detection",
  label: "Detection",
  options,
  metric: {
    name: piCaiName,
    better: "higher",
    floor: floorOfPiCai,
    margin: 0.05,
    spread: spreadOfPiCai,
  },
  specialised: "unet-3d",
  complete: (given, { reference }) => ({ ...given, images: given.images ?? [reference] }),
  faults: ({ images = [], mask }, { columns }) => {
    const twice = images.findIndex((image, index) => images.indexOf(image) < index);
    return [
      ...images.flatMap((image, index) => columnFault(columns, "images", ["images", index], image)),
      ...(twice < 0
        ? []
        : [
            {
              of: "task" as const,
              path: ["images", twice],
              message: `expected each image once, but "${images[twice]}" stands there twice`,
            },
          ]),
      ...columnFault(columns, "masks", ["mask"], mask),
    ];
  },
  create: (given) => detecting(what(given)),
  trivial: (given) => trivialDetection(what(given)),
});
