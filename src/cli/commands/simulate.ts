import type { Command } from "commander";
import { verdictWords } from "../../report/labels.js";
import type { Claim, Verdict } from "../../results/claims.js";
import { answer } from "../answer.js";
import { examples } from "../examples.js";
import { count, number, table } from "../format.js";
import { anyNumber, nonNegativeNumber, wholeNumber } from "../numbers.js";

interface Options {
  seeds: number;
  patients: number;
  casesPerPatient: number;
  tasks: number;
  models: number;
  gain: number;
  reference: number;
  runSpread: number;
  patientSpread: number;
  restSpread: number;
  studies: number;
  seed: number;
  json?: boolean;
}

/** `simulate`: what a study of so many seeds and patients would conclude, where the truth is known. */
export function addSimulate(program: Command): void {
  program
    .command("simulate")
    .description(
      "draw studies whose truth is known, and say how often their verdicts are right: before a GPU is spent",
    )
    .option("--seeds <count>", "of each study", wholeNumber(1), 3)
    .option("--patients <count>", "of the test set", wholeNumber(1), 148)
    .option("--cases-per-patient <count>", "test cases of each", wholeNumber(1), 1)
    .option("--tasks <count>", "one to five", wholeNumber(1), 5)
    .option("--models <count>", "foundation models", wholeNumber(1), 1)
    .option("--gain <number>", "what pretraining truly adds to the metric", anyNumber, 0)
    .option("--reference <number>", "the metric of models trained from scratch", anyNumber, 0.5)
    .option(
      "--run-spread <number>",
      "SD of the difference from one training to the next",
      nonNegativeNumber,
      0.01,
    )
    .option(
      "--patient-spread <number>",
      "SD of the difference from patient to patient",
      nonNegativeNumber,
      0.05,
    )
    .option("--rest-spread <number>", "SD of what is left of a single number", nonNegativeNumber, 0.03)
    .option("--studies <count>", "how many are drawn", wholeNumber(1), 200)
    .option("--seed <number>", "of the draws", wholeNumber(0), 1)
    .option("--json", "write one JSON document to stdout")
    .addHelpText(
      "after",
      examples(
        "simulate --gain 0.02 --seeds 3 --patients 148",
        "simulate --gain 0 --run-spread 0.05 --seeds 2",
      ),
    )
    .action((options: Options) =>
      answer(options, async () => {
        const value = await simulate(options);
        return { value, text: inWords(options, value) };
      }),
    );
}

async function simulate(options: Options) {
  const { simulateClaims } = await import("../../statistics/simulation.js");
  const { detectableDifference, expectedHalfWidth } = await import("../../statistics/planning.js");
  const { studies, seed, json: _, ...settings } = options;
  const claims: Claim[] = [];
  let withSupported = 0;
  for (let study = 0; study < studies; study++) {
    const own = simulateClaims(settings, seed, study);
    if (own.some(({ verdict }) => verdict === "supported")) withSupported++;
    claims.push(...own);
  }
  const known = claims.flatMap(({ difference: { low, high } }) =>
    low === null || high === null ? [] : [{ low, high }],
  );
  const share = (some: number, all: number) => (all === 0 ? null : some / all);
  const verdictShare = (verdict: Claim["verdict"]) =>
    claims.filter((claim) => claim.verdict === verdict).length / claims.length;
  const { seeds, patients, runSpread, patientSpread, restSpread, gain } = settings;
  const spreads = { seeds: runSpread, patients: patientSpread, rest: restSpread };
  const several = seeds >= 2 && patients >= 2;
  return {
    settings: { ...settings, studies, seed },
    claims: claims.length,
    /** Shares of the claims. */
    verdicts: {
      supported: verdictShare("supported"),
      "practically-equal": verdictShare("practically-equal"),
      contradicted: verdictShare("contradicted"),
      undetermined: verdictShare("undetermined"),
    },
    /** The share of studies with at least one supported claim. */
    studiesWithSupported: withSupported / studies,
    /** The share of intervals that hold the true gain; null where there is none. */
    covered: share(known.filter(({ low, high }) => low <= gain && gain <= high).length, known.length),
    expectedHalfWidth: several ? expectedHalfWidth(spreads, seeds, patients) : null,
    detectable: several ? detectableDifference(spreads, seeds, patients) : null,
  };
}

function inWords(
  { gain, seeds, patients, studies }: Options,
  value: Awaited<ReturnType<typeof simulate>>,
): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = (Object.keys(verdictWords) as Verdict[]).map((verdict) => [
    verdictWords[verdict],
    percent(value.verdicts[verdict]),
  ]);
  return [
    `${studies === 1 ? "1 study" : `${studies} studies`} of ${count(seeds, "seed")} and ${count(patients, "patient")}, true gain ${number(gain)}:`,
    table(["verdict", "claims"], rows),
    `${percent(value.studiesWithSupported)} of the studies call at least one claim better.`,
    value.covered === null || value.expectedHalfWidth === null || value.detectable === null
      ? "One seed, or one patient, gives no interval: nothing can be settled."
      : `Intervals are about ±${number(value.expectedHalfWidth)} and hold the true gain in ${percent(value.covered)}. ` +
        `A gain of ${number(value.detectable)} is found in 8 of 10 studies, if it is the only claim.`,
  ].join("\n");
}
