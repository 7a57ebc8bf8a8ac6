import { requireList, requireOptions } from "../common/arguments.js";
import { average } from "../common/numbers.js";
import type { Comparator } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import type { GainReference } from "../results/claims.js";
import type { StudyResults } from "../results/study.js";
import { notFallen } from "./pretraining-loss.js";

/** What is known of the models of a study besides their cells. */
export type Circumstances = Partial<Pick<StudyResults, "exposure" | "pretraining">>;

/** @throws `BAD_INPUT` for what says nothing of models */
export function requireCircumstances(given: unknown): asserts given is Circumstances {
  requireOptions(given, "circumstances");
  const { exposure = [], pretraining = [] } = given as Circumstances;
  requireList(exposure, "circumstances.exposure", "an array of which patients models saw");
  requireList(pretraining, "circumstances.pretraining", "an array of pretraining runs");
  for (const [index, one] of exposure.entries()) {
    requireOptions(one, `circumstances.exposure[${index}]`);
    requireOptions(one.overlap, `circumstances.exposure[${index}].overlap`);
    requireList(one.overlap.test, `circumstances.exposure[${index}].overlap.test`, "an array of patients");
  }
  for (const [index, run] of pretraining.entries()) {
    requireOptions(run, `circumstances.pretraining[${index}]`);
    requireList(run.curve, `circumstances.pretraining[${index}].curve`, "an array of epochs");
    for (const [epoch, row] of run.curve.entries())
      requireOptions(row, `circumstances.pretraining[${index}].curve[${epoch}]`);
  }
}

/** So few patients that their spread itself is hardly known. */
const fewPatients = 10;
/** With fewer cases of a class, how specific a model is at a given sensitivity is hardly known. */
const fewOfClass = 20;

/** What stands against a claim, each in a few words: what its patients are, what its models saw, how they were trained. */
export function doubtsAbout(
  { model, reference, patients }: { model: string; reference: GainReference; patients: number },
  pairs: readonly (readonly [CellResult, CellResult])[],
  { exposure = [], pretraining = [] }: Circumstances,
): string[] {
  const seen = exposure.find((one) => one.model === model)?.overlap.test.length ?? 0;
  const flat = pretraining.filter((run) => run.model === model && notFallen(run) !== null);
  return [
    ...(seen > 0 ? [`its weights were pretrained on ${count(seen, "patient")} of the test set`] : []),
    ...(flat.length > 0 ? ["the loss of its pretraining did not fall"] : []),
    ...(patients > 0 && patients < fewPatients ? [`only ${count(patients, "patient")}`] : []),
    ...rareClass(pairs[0]?.[0]),
    ...(["fine-tuned", reference] as const).flatMap((comparator, side) =>
      pairs.some((pair) => endedTooEarly(pair[side] as CellResult))
        ? [`${named[comparator]} was best at its last epoch`]
        : [],
    ),
  ];
}

const named: Record<Comparator, string> = {
  "fine-tuned": "the fine-tuned model",
  "from-scratch": "the model trained from scratch",
  specialised: "the specialised model",
  pretrained: "the pretrained model",
  "random-weights": "the model of random weights",
  trivial: "what takes no network",
};

/** Whether the validation set liked the last epoch best, so that more of them might have been better. */
function endedTooEarly({ curve, bestEpoch }: Pick<CellResult, "curve" | "bestEpoch">): boolean {
  const last = curve?.at(-1)?.epoch;
  return last !== undefined && last > 1 && bestEpoch === last;
}

/** Of a metric that tells positive cases from negative ones: how few there are of the rarer kind. */
function rareClass(cell: CellResult | undefined): string[] {
  if (!cell || cell.metric.standardDeviation !== null) return [];
  const { cases } = cell.metric;
  if (!cases.every(({ positive }) => typeof positive === "boolean")) return [];
  const positive = cases.filter((one) => one.positive).length;
  return (
    [
      ["positive", positive],
      ["negative", cases.length - positive],
    ] as const
  ).flatMap(([kind, number]) => (number < fewOfClass ? [`only ${count(number, `${kind} case`)}`] : []));
}

/** Device seconds of a seed, on average over those that are compared. */
export function costOf(pairs: readonly (readonly [CellResult, CellResult])[]): {
  fineTunedSeconds: number;
  referenceSeconds: number;
} {
  const mean = (side: 0 | 1) => average(pairs.map((pair) => pair[side].cost?.deviceSeconds ?? Number.NaN));
  return { fineTunedSeconds: mean(0), referenceSeconds: mean(1) };
}

const count = (number: number, one: string): string => `${number} ${one}${number === 1 ? "" : "s"}`;
