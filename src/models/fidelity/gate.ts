import type { CaseVolumes } from "../../cohort/case-volumes.js";
import { throwIfAborted } from "../../common/errors.js";
import type { PlacedNetwork } from "../../native/placed-network.js";
import { architectureOf } from "../architectures/index.js";
import type { LoadReport } from "../checkpoints/load-report.js";
import { pretrainingInput } from "../pretraining/masked-autoencoder.js";
import { type FidelityCheck, notMeasurable } from "./check.js";
import type { Expectation } from "./expectation.js";
import { checkFeatures, type ShownInput } from "./features.js";
import { type ImageMeasure, type ImageStatistics, measureImage, statisticsOf } from "./images.js";
import { checkAxes, checkChannels, checkIntensities, type Known } from "./input.js";
import { checkPositions } from "./positions.js";
import { type FidelityRecord, recordIn } from "./record.js";
import { fitOfStem, stemOf } from "./stem-statistics.js";
import { checkWeights } from "./weights.js";

/** Cases whose images are looked at, and of these, that the encoder is shown. */
export const mostLookedAt = 8;
const mostShown = 4;
/** Cases of a pretraining whose images are recorded. */
const mostRecorded = 16;

/** So many of them, evenly spread. */
export function evenly<Item>(items: readonly Item[], most: number): Item[] {
  const count = Math.min(most, items.length);
  return Array.from(
    { length: count },
    (_, index) => items[Math.floor((index * items.length) / count)] as Item,
  );
}

/** The columns that the channels of an encoder show where each shows another, as far as there are so many. */
export function channelsOf(network: Pick<PlacedNetwork, "spec">, images: readonly string[]): string[] {
  if (!("encoder" in network.spec)) return [];
  const { encoder } = network.spec;
  // Slice by slice, its channels hold neighbours of one image.
  const count = architectureOf(encoder).slices ? 1 : encoder.channels;
  return Array.from({ length: count }, (_, channel) => images[channel % images.length] as string);
}

/** How the images of some cases look, by column; a column that no case has is left out. */
async function statisticsOfCases(
  cases: readonly CaseVolumes[],
  images: readonly string[],
): Promise<Record<string, ImageStatistics>> {
  const all: Record<string, ImageStatistics> = {};
  for (const column of images) {
    const measures: ImageMeasure[] = [];
    for (const one of cases) {
      if (!one.roles.includes(column)) continue;
      using volume = await one.load(column);
      measures.push(measureImage((await volume.toArray()) as Float32Array, volume.shape));
    }
    if (measures.length > 0) all[column] = statisticsOf(measures);
  }
  return all;
}

/** What an encoder is pretrained on, to be kept with its weights. */
export async function recordOf(
  network: PlacedNetwork,
  cases: readonly CaseVolumes[],
  images: readonly [string, ...string[]],
  voxels: FidelityRecord["voxels"],
): Promise<FidelityRecord> {
  return {
    channels: channelsOf(network, images),
    images: await statisticsOfCases(evenly(cases, mostRecorded), images),
    voxels,
  };
}

/** An encoder that is about to be trained, and what it will be shown. */
export interface GateInput {
  /** With its weights. */
  network: PlacedNetwork;
  /** Of loading them; null where the encoder comes with its own. */
  report: LoadReport | null;
  /** Of training. */
  cases: readonly CaseVolumes[];
  /** The cohort's columns of images, the reference first. */
  images: readonly [string, ...string[]];
  /** Of the cohort: height, width and depth. */
  voxels: readonly [number, number, number];
  expects?: Expectation | undefined;
  signal?: AbortSignal | undefined;
}

/** Looks at an encoder with its weights and at what it is shown, from a few cases. Nothing of either is changed. */
export async function measureFidelity(given: GateInput): Promise<FidelityCheck[]> {
  const { network, report, images, signal, expects = null } = given;
  const cases = evenly(given.cases, mostLookedAt);
  const record = report === null ? null : recordIn(report.file.path, report.file.metadata);
  const ofImages = await statisticsOfCases(cases, images);
  const present = images.filter((column) => Object.hasOwn(ofImages, column));
  const shown = { channels: channelsOf(network, present), images: ofImages };
  const inputs: ShownInput[] = [];
  for (const one of evenly(cases, mostShown)) {
    throwIfAborted(signal);
    using input = await pretrainingInput(one, shown.channels.length, present as [string, ...string[]]);
    inputs.push({
      values: Float32Array.from((await input.toArray()) as Float32Array),
      shape: input.shape as unknown as ShownInput["shape"],
    });
  }
  const stem = record === null ? await stemOf(network) : null;
  const known: Known = { record, expects, stem: stem === null ? null : fitOfStem(stem, inputs) };
  const weights = await checkWeights(network, report, record !== null);
  throwIfAborted(signal);
  const ofInput =
    inputs.length === 0
      ? (["features", "intensities", "channels", "axes"] as const).map((check) =>
          notMeasurable(check, "No training case shows what it would be shown."),
        )
      : [
          await checkFeatures(network, inputs, record !== null),
          checkIntensities(shown, known),
          checkChannels(shown, known),
          checkAxes(shown, known),
        ];
  return [
    weights,
    ...ofInput,
    ...("encoder" in network.spec
      ? [checkPositions(network.spec.encoder, network.parameters, given.voxels, known)]
      : []),
  ];
}
