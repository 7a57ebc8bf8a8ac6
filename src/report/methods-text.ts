import { groupBy } from "../common/group-by.js";
import type { comparators } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import { type Claim, gainReferences } from "../results/claims.js";
import type { StudyResults } from "../results/study.js";
import { count, grouped, listing } from "./format.js";
import { kindInProse, metricInProse, referenceInProse, taskInProse } from "./labels.js";
import { type CohortInUse, type Summary, sharedModels } from "./report-summary.js";

/**
 * How the study was done, in words to be pasted into a paper: every number is the study's own, as it stands in
 * `results.json`. One paragraph, plain text.
 */
export function methodsText(results: StudyResults, summary: Summary): string {
  const done = results.cells.flatMap(({ result }) => result ?? []);
  if (summary.models.length === 0 || done.length === 0) return "";
  return [
    ...compared(summary),
    ...summary.cohorts.map((cohort) => cohortInWords(cohort, summary)),
    leftOut(results),
    ...training(done, summary),
    ...pretraining(results),
    ...drawnWeights(done),
    ...statistics(summary),
    ...distances(results),
    software(results),
    ...unfinished(results, summary),
  ]
    .filter((sentence) => sentence !== "")
    .join(" ");
}

function compared(summary: Summary): string[] {
  const metrics = groupBy(summary.rows, (row) => row.metric);
  const tasks = [...metrics].map(([metric, rows]) => {
    const names = listing([...new Set(rows.map((row) => taskInProse(row)))]);
    return metric === null ? names : `${names} (by ${metricInProse(metric)})`;
  });
  const has = (name: (typeof comparators)[number]) =>
    summary.rows.some(({ entries }) => entries[name].status !== "absent");
  const shared = (name: "specialised" | "trivial") => [
    ...new Set(summary.rows.flatMap(({ entries }) => sharedModels(entries[name]))),
  ];
  const references = [
    ...(has("pretrained") ? ["with itself as pretrained"] : []),
    ...(has("random-weights") ? ["with its architecture at random weights"] : []),
    ...(has("from-scratch") ? ["with its architecture trained from scratch"] : []),
    ...(has("specialised")
      ? [
          `with a model made for the task${shared("specialised").length === 0 ? "" : ` (${listing(shared("specialised"))})`}`,
        ]
      : []),
    ...(has("trivial")
      ? [
          `with the best answer that takes no network, fitted to the training cases (${listing(shared("trivial"))})`,
        ]
      : []),
  ];
  const models = `${count(summary.models.length, "foundation model")} (${listing(summary.models)})`;
  return [
    `We compared ${models} on ${listing(tasks)}.`,
    ...(references.length > 0
      ? [`On each task, the fine-tuned model was compared ${listing(references)}.`]
      : []),
  ];
}

function cohortInWords({ patients, cases, split, tasks }: CohortInUse, { cohorts }: Summary): string {
  const where = cohorts.length > 1 && tasks !== null ? `For ${listing(tasks.map(kindInProse))}, the` : "The";
  return (
    `${where} cohort held ${count(cases, "case")} of ${count(patients, "patient")}, split by patient into ${grouped(split.train)} ` +
    `to train on, ${grouped(split.validation)} to validate on and ${grouped(split.test)} to test on.`
  );
}

const leftOut = ({ cohort: { excluded } }: StudyResults): string =>
  excluded.length === 0
    ? ""
    : `${count(excluded.length, "case")} ${excluded.length === 1 ? "was" : "were"} left out, for reasons that are listed with the results.`;

function training(done: readonly CellResult[], { seeds }: Summary): string[] {
  const epochs = [...new Set(done.map(({ curve }) => curve.length).filter((length) => length > 0))].sort(
    (one, other) => one - other,
  );
  if (epochs.length === 0) return [];
  const range =
    epochs.length === 1
      ? count(epochs[0] as number, "epoch")
      : `${epochs[0]} to ${count(epochs.at(-1) as number, "epoch")}`;
  const times =
    seeds.length === 1
      ? `once (seed ${seeds[0]})`
      : `${seeds.length} times (seeds ${listing(seeds.map(String))})`;
  const validated = done.some(({ curve }) => curve.some(({ validationMetric }) => validationMetric !== null));
  return [
    `Every network was trained ${times}, for ${range}, and tested at its ${validated ? "best epoch on the validation set" : "last epoch"}.`,
  ];
}

function pretraining({ pretraining: runs, exposure = [] }: StudyResults): string[] {
  const own = runs
    .filter(({ status }) => status === "done")
    .map(({ model, curve, patients }) => {
      const seen = patients === undefined ? "" : ` on ${count(patients, "patient")}`;
      return `${model} was pretrained in this study for ${count(curve.length, "epoch")}${seen}, without any patient that it was validated or tested on.`;
    });
  const others = exposure.map(({ model, patients, overlap: { validation, test } }) => {
    if (patients === null)
      return `It is not known which patients the weights of ${model} were pretrained on.`;
    const shared =
      validation.length + test.length === 0
        ? "none of whom was validated or tested on"
        : `of whom ${test.length} ${test.length === 1 ? "is" : "are"} in the test set and ${validation.length} in the validation set`;
    return `The weights of ${model} were pretrained on ${count(patients, "patient")}, ${shared}.`;
  });
  return [...own, ...others];
}

/** How random weights of encoders from files were drawn, of which not every layer is known. */
function drawnWeights(done: readonly CellResult[]): string[] {
  const models = new Map(
    done.flatMap(({ model, network: { drawn } }) => (drawn === undefined ? [] : [[model, drawn] as const])),
  );
  return [...models].map(([model, { byRule, shuffled }]) => {
    const rule = `${grouped(byRule)} were drawn by the rule of their kind of layer`;
    const values = "shuffling the values that the file has, which keeps their size and spread";
    return shuffled === 0
      ? `The random weights of ${model}, whose encoder came from a file: all ${rule}.`
      : `The random weights of ${model}, whose encoder came from a file: ${rule}, ${grouped(shuffled)} by ${values}.`;
  });
}

function statistics(summary: Summary): string[] {
  const claims = summary.rows.flatMap(({ claims: own }) => gainReferences.flatMap((name) => own[name] ?? []));
  if (claims.length === 0) return [];
  const margins = [
    ...new Set(claims.map(({ metric, equivalence }) => `${equivalence.margin} of ${metricInProse(metric)}`)),
  ];
  if (claims.every(({ seeds }) => seeds.length < 2))
    return [
      "The unit of analysis was the patient. With one seed the variance between trainings is not known, so that differences are " +
        "given without intervals, and no claim is made.",
    ];
  const families = summary.counts.tested.map(
    ({ reference, claims: tested }) => `${tested} over ${referenceInProse[reference]}`,
  );
  return [
    ...ofPatients(claims, summary),
    ...ofSets(claims),
    ...(families.length > 0
      ? [
          "Two-sided p values were adjusted by Holm’s method (1979) over all comparisons with the same reference " +
            `(${listing(families)}), at a level of 0.05.`,
        ]
      : []),
    `Two models were called practically equal where the 90 % interval of their difference lay within a margin that was set beforehand (two one-sided tests, Schuirmann 1987): ${listing(margins)}.`,
  ];
}

/** Claims over patients' own values. */
function ofPatients(claims: readonly Claim[], { seeds }: Summary): string[] {
  const crossed = claims.filter(({ difference }) => difference.deviations !== null);
  if (crossed.length === 0) return [];
  const patients = [...new Set(crossed.map((claim) => claim.patients))].sort((one, other) => one - other);
  const many =
    patients.length === 1
      ? count(patients[0] as number, "patient")
      : `${patients[0]} to ${count(patients.at(-1) as number, "patient")}`;
  const pooled =
    seeds.length <= 3 ? ", with the variance between seeds pooled over the models of a task" : "";
  return [
    `The unit of analysis was the patient: a patient’s cases were averaged first (${many} in the test sets). Differences of test metrics have 95 % ` +
      "intervals and p values from a model of random effects crossed over seeds and patients, averaged over the uncertainty of its " +
      `variances (generalised inference, Weerahandi 1995)${pooled}. Relative performance gains are ratios of means over the same seeds, with Fieller’s sets (1954).`,
  ];
}

/** Claims over what only a whole test set has. */
function ofSets(claims: readonly Claim[]): string[] {
  const metrics = [
    ...new Set(
      claims
        .filter(({ difference }) => difference.deviations === null && difference.low !== null)
        .map(({ metric }) => metricInProse(metric)),
    ),
  ];
  return metrics.map(
    (metric) =>
      `Differences of ${metric}, one number of a test set, have percentile intervals from a bootstrap of patients (positive and ` +
      "negative ones apart) and seeds, with the threshold drawn anew in each resample.",
  );
}

function distances({ distances: all }: StudyResults): string[] {
  const sigmas = [...new Set(all.flatMap(({ paper }) => paper.sigma ?? []))];
  const rows = [...new Set(all.map((one) => one.rows))].sort((one, other) => one - other);
  if (sigmas.length === 0) return [];
  return [
    "The distance between the representations of two encoders is the squared maximum mean discrepancy (Gretton et al. 2012) of their " +
      `embeddings of ${rows.length === 1 ? "" : `${rows[0]} to `}${count(rows.at(-1) as number, "test case")}, with a Gaussian kernel of width ${listing(sigmas.map(String))} and at the median distance of the features.`,
  ];
}

function software({
  software: { package: version, libtorch, node, device, precision = "float32" },
}: StudyResults): string {
  return `All was computed with transfer-limits ${version} (LibTorch ${libtorch}, Node ${node}) on ${device} in ${precision}.`;
}

function unfinished({ complete }: StudyResults, { counts: { cells } }: Summary): string[] {
  return complete && cells.done === cells.all
    ? []
    : [
        `Of ${count(cells.all, "planned cell")}, ${grouped(cells.done)} ${cells.done === 1 ? "was" : "were"} done.`,
      ];
}
