import { average } from "../../common/numbers.js";
import { type FidelityCheck, flagged, notMeasurable, sound } from "./check.js";
import { type Expectation, ourAxes } from "./expectation.js";
import {
  centreOf,
  type ImageStatistics,
  rangeOf,
  spreadOf,
  turnedLayout,
  turnInWords,
  turns,
  unlike,
} from "./images.js";
import { correlation, permutations, short } from "./numbers.js";
import type { FidelityRecord } from "./record.js";
import { type StemFit, stemWords } from "./stem-statistics.js";

/** What an encoder is shown in a study. */
export interface Shown {
  /** The column whose image each channel shows, where each shows another as far as there are so many. */
  channels: readonly string[];
  /** By column. */
  images: Readonly<Record<string, ImageStatistics>>;
}

/** What is known of what the encoder was trained on. */
export interface Known {
  record: FidelityRecord | null;
  expects: Expectation | null;
  /** How the statistics in its first batch norm fit what it is shown; null where it has none. */
  stem: StemFit | null;
}

/** Columns of the study and the columns of the record that they stand for: of the same name, or else the first for the first. */
function pairsOf(shown: Shown, record: FidelityRecord): [ours: string, recorded: string][] {
  const same = Object.keys(shown.images).filter((name) => Object.hasOwn(record.images, name));
  if (same.length > 0) return same.map((name) => [name, name]);
  const [ours] = shown.channels;
  const [theirs] = record.channels;
  return ours !== undefined && theirs !== undefined && record.images[theirs] && shown.images[ours]
    ? [[ours, theirs]]
    : [];
}

/** An image's spread may be so many times another's, and its median so many spreads away. */
const spreadLimit = 1.6;
const shiftLimit = 0.6;
/** So many standard deviations between the cases of the record are no fault either. */
const deviations = 4;

/** A wrong intensity scale. */
export function checkIntensities(shown: Shown, { record, expects, stem }: Known): FidelityCheck {
  const name = "intensities";
  if (record !== null) {
    const pairs = pairsOf(shown, record);
    const off = pairs.map(([ours, theirs]) => {
      const one = shown.images[ours] as ImageStatistics;
      const other = record.images[theirs] as ImageStatistics;
      const spread = Math.max(spreadOf(other.quantiles), 1e-30);
      const ratio = spreadOf(one.quantiles) / spread;
      const shift = (centreOf(one.quantiles) - centreOf(other.quantiles)) / spread;
      const limit = Math.max(Math.log(spreadLimit), deviations * other.spreadVaries);
      const turned = correlation(one.layout, other.layout);
      const wrong = Math.abs(Math.log(Math.max(ratio, 1e-30))) > limit || Math.abs(shift) > shiftLimit;
      return { ours, ratio, shift, turned, wrong: wrong || turned < -0.5 };
    });
    const [first] = [...off].sort(
      (a, b) =>
        Number(b.wrong) - Number(a.wrong) || Math.abs(Math.log(b.ratio)) - Math.abs(Math.log(a.ratio)),
    );
    if (first === undefined)
      return notMeasurable(name, "No column of the study stands for an image that it was pretrained on.");
    const measured = { spreadRatio: first.ratio, shift: first.shift };
    const words =
      `From the 5th to the 95th percentile, ${first.ours} spreads ${short(first.ratio)} times as far as in pretraining, and its ` +
      `median lies ${short(first.shift)} such spreads higher`;
    if (!first.wrong) return sound(name, `${words}.`, measured);
    const inverted = first.turned < -0.5 ? "; what was bright is dark" : "";
    return flagged(name, `${words}${inverted}. Normalise its images as in pretraining.`, measured);
  }
  if (expects?.intensities !== undefined) return checkStated(shown, expects.intensities);
  if (stem !== null) {
    const { scale, offset, improved } = stem.intensities;
    const measured = { scale, offset, improvement: improved };
    if (stem.intensities.off)
      return flagged(
        name,
        `${stemWords} would fit ${short(improved)} times as well if intensities were multiplied with ${short(scale)} and ${short(offset)} ` +
          "of their standard deviations were added: normalise the images as in its training.",
        measured,
      );
    if (stem.fits) return sound(name, `${stemWords} fit what it is shown.`, measured);
  }
  return notMeasurable(name, untold("intensities"));
}

function checkStated(shown: Shown, stated: NonNullable<Expectation["intensities"]>): FidelityCheck {
  const name = "intensities";
  const all = [...new Set(shown.channels)].map((column) => {
    const { quantiles, mean: centre, deviation } = shown.images[column] as ImageStatistics;
    const [low, high] = rangeOf(quantiles);
    if (stated.kind === "range") {
      const width = stated.high - stated.low;
      const below = (stated.low - low) / width;
      const above = (high - stated.high) / width;
      const share = (high - low) / width;
      return { column, low, high, wrong: below > 0.35 || above > 0.35 || share < 0.2 };
    }
    return {
      column,
      low,
      high,
      wrong: Math.abs(Math.log(deviation)) > Math.log(1.6) || Math.abs(centre) > 0.35,
    };
  });
  const one = all.find(({ wrong }) => wrong) ?? (all[0] as (typeof all)[number]);
  const wanted =
    stated.kind === "range" ? `from ${stated.low} to ${stated.high}` : "of mean 0 and variance 1";
  const words = `The study says that it was trained on intensities ${wanted}; those of ${one.column} lie from ${short(one.low)} to ${short(one.high)}`;
  const measured = { low: one.low, high: one.high };
  return one.wrong
    ? flagged(name, `${words}: normalise them so (normalise), or mend expects.intensities.`, measured)
    : sound(name, `${words}.`, measured);
}

/** Why the channels cannot be told apart. */
export const oneImageAlone = "It is shown one image alone.";
export const tooFewInCommon =
  "The study and its pretraining have fewer than two columns of images in common.";

/** All orders of more columns than these are too many. */
const mostColumns = 6;
/** Another order must fit so much better. */
const orderMargin = 0.15;

/** Permuted channels: columns that hold each other's images, or stand in another order than the encoder's channels. */
export function checkChannels(shown: Shown, { record, expects, stem }: Known): FidelityCheck {
  const name = "channels";
  const ours = shown.channels;
  const wanted = record?.channels ?? expects?.channels;
  if (wanted !== undefined) {
    // A channel that shows an image twice, for want of another, is filled, not permuted.
    const moved = wanted.flatMap((column, channel) =>
      ours.includes(column) &&
      ours[channel] !== undefined &&
      ours[channel] !== column &&
      wanted.indexOf(column) === channel
        ? [channel]
        : [],
    );
    if (moved.length > 0)
      return flagged(
        name,
        `Its channels are for ${wanted.join(", ")}, in this order, and the study shows ${ours.join(", ")}: put the columns into its order.`,
        { channelsMoved: moved.length },
      );
    if (record === null && wanted.some((column) => ours.includes(column)))
      return sound(
        name,
        `Its channels are for ${wanted.join(", ")}, as the study shows them; by their names alone.`,
      );
  }
  if (record !== null) {
    const same = Object.keys(shown.images)
      .filter((column) => Object.hasOwn(record.images, column))
      .slice(0, mostColumns);
    if (same.length < 2) return notMeasurable(name, tooFewInCommon);
    const apart = same.map((one) =>
      same.map((other) =>
        unlike(shown.images[one] as ImageStatistics, record.images[other] as ImageStatistics),
      ),
    );
    const costOf = (order: readonly number[]) =>
      order.reduce((sum, other, one) => sum + (apart[one]?.[other] as number), 0);
    const asNamed = costOf(same.map((_, index) => index));
    let best = { order: same.map((_, index) => index), cost: asNamed };
    for (const order of permutations(same.length)) {
      const cost = costOf(order);
      if (cost < best.cost) best = { order, cost };
    }
    const measured = { unlikeAsNamed: asNamed, unlikeInBestOrder: best.cost };
    if (asNamed - best.cost <= orderMargin)
      return sound(
        name,
        `The images of ${same.join(", ")} look most like those of the same names in pretraining.`,
        measured,
      );
    const swapped = same.flatMap((column, index) =>
      best.order[index] === index ? [] : [`${column} looks like ${same[best.order[index] as number]}`],
    );
    return flagged(
      name,
      `Compared with pretraining, ${swapped.join(", and ")}: were columns exchanged?`,
      measured,
    );
  }
  if (new Set(ours).size < 2) return notMeasurable(name, oneImageAlone);
  if (stem?.channels) {
    const { order, improved, off } = stem.channels;
    const measured = { improvement: improved };
    if (off)
      return flagged(
        name,
        `${stemWords} would fit ${short(improved)} times as well with the channels ${order.map((channel) => ours[channel]).join(", ")}.`,
        measured,
      );
    if (stem.channels.told)
      return sound(name, `${stemWords} fit no other order of the channels as well.`, measured);
  }
  return notMeasurable(name, untold("channels"));
}

/** Another turn must fit so much better, and must then fit. */
const turnMargin = 0.1;
const leastLikeness = 0.5;
/** A turn that leaves the images of pretraining so alike cannot be told. */
const alike = 0.9;

/** Permuted or flipped axes of what it is shown. */
export function checkAxes(shown: Shown, { record, expects, stem }: Known): FidelityCheck {
  const name = "axes";
  if (record !== null) {
    const pairs = pairsOf(shown, record).map(
      ([ours, theirs]) =>
        [shown.images[ours] as ImageStatistics, record.images[theirs] as ImageStatistics] as const,
    );
    if (pairs.length === 0)
      return notMeasurable(name, "No column of the study stands for an image that it was pretrained on.");
    const likeness = turns.map((turn) =>
      average(pairs.map(([one, other]) => correlation(turnedLayout(one.layout, turn), other.layout))),
    );
    const own = turns.map((turn) =>
      average(pairs.map(([, other]) => correlation(turnedLayout(other.layout, turn), other.layout))),
    );
    const best = likeness.indexOf(Math.max(...likeness));
    const asTheyAre = likeness[0] as number;
    const measured = { likeness: asTheyAre, bestLikeness: likeness[best] as number };
    if ((likeness[best] as number) < leastLikeness)
      return notMeasurable(
        name,
        `What is bright and what is dark where is unlike its pretraining whatever way the volumes are turned (at best ${short(likeness[best] as number)}).`,
        measured,
      );
    if ((likeness[best] as number) - asTheyAre > turnMargin)
      return flagged(
        name,
        `Its pretraining's images are like the study's with ${turnInWords(turns[best] as (typeof turns)[number])} (${short(likeness[best] as number)}), ` +
          `and less so as they are (${short(asTheyAre)}): does the orientation in the images' headers hold?`,
        measured,
      );
    const hidden = turns.flatMap((turn, index) =>
      index > 0 && (own[index] as number) > alike ? [turnInWords(turn)] : [],
    );
    const but =
      hidden.length === 0
        ? ""
        : ` Not measurable, as its pretraining's images look the same so: ${hidden.slice(0, 3).join("; ")}${hidden.length > 3 ? ` and ${hidden.length - 3} more` : ""}.`;
    return sound(name, `The images lie as in its pretraining (likeness ${short(asTheyAre)}).${but}`, {
      ...measured,
      turnsNotTold: hidden.length,
    });
  }
  if (expects?.axes !== undefined)
    return expects.axes === ourAxes
      ? sound(name, `Its volumes' axes point as ours (${ourAxes}); by the study's word alone.`)
      : flagged(
          name,
          `The study says that depth, height and width of its volumes point to ${expects.axes}, and ours to ${ourAxes}: turn its kernels before they are ` +
            "loaded, or mend expects.axes.",
          { axesMoved: [...ourAxes].filter((letter, axis) => expects.axes?.[axis] !== letter).length },
        );
  if (stem?.axes) {
    const { order, improved, off } = stem.axes;
    const measured = { improvement: improved };
    if (off)
      return flagged(
        name,
        `${stemWords} would fit ${short(improved)} times as well with ${turnInWords({ order, flipped: [false, false, false] })}.`,
        measured,
      );
    if (stem.axes.told)
      return sound(
        name,
        `${stemWords} fit no other order of the axes as well. Not measurable: flips, which leave them as they are.`,
        measured,
      );
  }
  return notMeasurable(name, untold("axes"));
}

const unknownOf = {
  intensities: "the scale of its images",
  channels: "which image each of its channels is for",
  axes: "how its volumes lay",
  voxels: "at which size its position embedding was trained",
};

/** Why a check has nothing to go by, and what a study can state for it. */
export const untold = (field: keyof typeof unknownOf): string =>
  `Its weights do not say ${unknownOf[field]}. State it as models[].expects.${field} of the study, and it is checked.`;
