import { rm } from "node:fs/promises";
import { comparatorOf } from "../../alignment/distances.js";
import { factsOf } from "../../cohort/case-volumes.js";
import { countMasks } from "../../cohort/mask-counts.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { writeFileAtomically } from "../../common/atomic-file.js";
import { packageVersion } from "../../common/package-version.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { Comparator, TaskName } from "../../common/vocabulary.js";
import { buildInfo } from "../../native/runtime.js";
import type { CellResult } from "../../results/cell.js";
import type { Claim } from "../../results/claims.js";
import type { Range } from "../../results/distances.js";
import { studyPaths } from "../../results/paths.js";
import type { CellSummary, Exclusion, StudyResults } from "../../results/study.js";
import { resultsOf } from "../../statistics/cells.js";
import { summaryOf } from "../../statistics/curve-summary.js";
import { computeGains } from "../../statistics/gains.js";
import { computeIntervals } from "../../statistics/metric-intervals.js";
import { type SpecificationCurve, specificationCurve } from "../../statistics/specification-curve.js";
import { summariseResults } from "../../statistics/study-summary.js";
import { taskOf } from "../../tasks/index.js";
import { readCellOf, readFailure, readPretrainingOf } from "../cell/cell-folder.js";
import { keptFidelity } from "../cell/fidelity.js";
import { marginsOf, type Study } from "../config/schema.js";
import type { CellBasis } from "../plan/basis.js";
import { divisionOf, preparedCases, preparedCasesOf, type StudyCohort } from "../plan/cohort-file.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";
import { csvField } from "./csv-field.js";
import { KeptFeatures } from "./kept-features.js";
import { MeasuredDistances } from "./measured-distances.js";
import type { SessionLog } from "./sessions.js";
import { specificationsCsv, specificationsOf } from "./specifications.js";

/** Draws of patients and seeds for the interval of a relation. */
const relationResamples = 1_000;

/**
 * Gathers what the cells of a study left on disk into `results.json` and `results.csv`, whether or not all are done.
 * Cells are read, and distances computed, once each.
 */
export class ResultsCollector {
  readonly #kept: KeptFeatures;
  readonly #distances: MeasuredDistances;
  readonly #done = new Map<string, CellSummary>();

  constructor(
    private readonly study: Study,
    private readonly plan: StudyPlan,
    private readonly bases: ReadonlyMap<string, CellBasis>,
    private readonly cohort: StudyCohort,
    private readonly threads: number,
    private readonly sessions: SessionLog,
  ) {
    this.#kept = new KeptFeatures(study.execution.output);
    this.#distances = new MeasuredDistances(this.#kept, study.alignment.sigma);
  }

  /** Writes both files anew, with everything that follows from the cells. */
  async write(signal?: AbortSignal): Promise<StudyResults> {
    return await this.writeBoth(await this.concluded(await this.collect(signal), signal));
  }

  /**
   * The same while more cells are to come: what follows from all of them together is left to the end, and to a report that is
   * written before it. With every cell it takes longer, and no cell should wait for it.
   */
  async writeSoFar(): Promise<void> {
    await rm(studyPaths(this.study.execution.output).specifications, { force: true });
    await this.writeBoth(await this.collect());
  }

  private async writeBoth(results: StudyResults): Promise<StudyResults> {
    const paths = studyPaths(this.study.execution.output);
    await writeSealedJson(paths.results, results);
    await writeFileAtomically(paths.table, resultsCsv(results));
    return results;
  }

  private async collect(signal?: AbortSignal): Promise<StudyResults> {
    const { study, plan, cohort } = this;
    const cells: CellSummary[] = [];
    const parts: CellSummary[] = [];
    const pretraining: StudyResults["pretraining"] = [];
    for (const cell of plan.cells) {
      if (cell.kind === "pretraining") pretraining.push(await this.pretraining(cell));
      else (cell.patients === undefined ? cells : parts).push(await this.summary(cell));
    }
    const done = resultsOf(cells);
    const { exposure = [] } = cohort;
    const fidelity = study.execution.gate === "off" ? [] : await keptFidelity(study, plan);
    const distances = await this.#distances.all(done, signal);
    return {
      format: "transfer-limits/results@1",
      name: study.name,
      complete: [...cells, ...parts, ...pretraining].every(({ status }) => status === "done"),
      cohort: {
        manifest: cohort.manifest,
        cases: cohort.cases,
        patients: cohort.patients,
        split: {
          train: cohort.split.train.length,
          validation: cohort.split.validation.length,
          test: cohort.split.test.length,
        },
        ...ofTasks(cohort),
        masks: countMasks(preparedCases(cohort), columnsOf(study.cohort)),
        excluded: [...cohort.excluded, ...leftOutOfTasks(study, cohort)],
      },
      cells,
      margins: marginsOf(study),
      gains: computeGains(done),
      ...(study.learningCurve === null ? {} : { learningCurves: { cells: parts } }),
      distances,
      drift: await this.#distances.drift(done, distances),
      pretraining,
      ...(exposure.length > 0 ? { exposure } : {}),
      ...(fidelity.length > 0 ? { fidelity } : {}),
      software: {
        package: packageVersion,
        libtorch: buildInfo().libtorch,
        node: process.version,
        device: (study.execution.devices ?? [study.execution.device]).join(", "),
        threads: this.threads,
        precision: study.execution.precision,
        deterministic: study.execution.deterministic,
      },
      cost: {
        sessions: await this.sessions.update(),
      },
    };
  }

  /** Results with what follows from all cells together. */
  private async concluded(results: StudyResults, signal: AbortSignal | undefined): Promise<StudyResults> {
    const isSettled = results.cells.every(({ status }) => status !== "pending");
    const done = isSettled ? resultsOf(results.cells) : [];
    const summarised = summariseResults(results, isSettled ? { resamples: relationResamples } : {});
    const curve = await this.curve(done, summarised.claims, signal);
    return {
      ...summarised,
      ...(isSettled ? { intervals: computeIntervals(done) } : {}),
      ...(curve === null ? {} : { specificationCurve: summaryOf(curve) }),
    };
  }

  /**
   * Distances against gains in every reasonable way, once no cell is pending: they take all cells' features. Each
   * specification stands in a file beside the results. Null for fewer than three tasks, and without that file.
   */
  private async curve(
    done: readonly CellResult[],
    claims: readonly Claim[],
    signal: AbortSignal | undefined,
  ): Promise<SpecificationCurve | null> {
    const { alignment, execution } = this.study;
    const specifications = await specificationsOf(
      { done, claims, sigma: alignment.sigma },
      this.#kept,
      signal,
    );
    const file = studyPaths(execution.output).specifications;
    if (specifications.length === 0) {
      await rm(file, { force: true });
      return null;
    }
    const curve = specificationCurve(specifications);
    await writeFileAtomically(file, specificationsCsv(curve));
    return curve;
  }

  private async summary(cell: PlannedCell): Promise<CellSummary> {
    const known = this.#done.get(cell.id);
    if (known) return known;
    const folder = this.study.execution.output;
    const result = await readCellOf(folder, cell.id, this.bases.get(cell.id));
    const failure = result ? null : await readFailure(folder, cell.id);
    const summary: CellSummary = {
      id: cell.id,
      task: cell.task as CellSummary["task"],
      strategy: cell.strategy as CellSummary["strategy"],
      model: cell.model,
      comparator: cell.comparator as Comparator,
      seed: cell.seed,
      ...(cell.patients === undefined ? {} : { patients: cell.patients }),
      status: result ? "done" : failure ? "failed" : "pending",
      ...(failure ? { reason: failure.reason } : {}),
      ...(result ? { result: withoutBasis(result) } : {}),
    };
    if (result) this.#done.set(cell.id, summary);
    return summary;
  }

  private async pretraining({ id, model, seed }: PlannedCell): Promise<StudyResults["pretraining"][number]> {
    const folder = this.study.execution.output;
    const result = await readPretrainingOf(folder, id, this.bases.get(id));
    const left = divisionOf(this.cohort, seed).pretrainingLeftOut?.[model];
    const known = { id, model, seed, ...(left === undefined ? {} : { patientsLeftOut: left }) };
    if (result) {
      const { curve, cost, patients } = result;
      return { ...known, status: "done", curve, cost, patients };
    }
    const failure = await readFailure(folder, id);
    return failure
      ? { ...known, status: "failed", reason: failure.reason, curve: [] }
      : { ...known, status: "pending", curve: [] };
  }
}

/** Several studies, in several places, may have the same results. */
const withoutBasis = ({ basis: _, ...result }: CellResult): CellResult => result;

/** The cohorts of single tasks, where any has one of its own. */
function ofTasks({ tasks }: StudyCohort): Pick<StudyResults["cohort"], "tasks"> {
  const own = Object.entries(tasks).map(([task, { manifest, cases, patients, split }]) => ({
    task: task as TaskName,
    manifest,
    cases,
    patients,
    split: { train: split.train.length, validation: split.validation.length, test: split.test.length },
  }));
  return own.length === 0 ? {} : { tasks: own };
}

/** Cases that were prepared but lack what a task needs, with the reason. */
function leftOutOfTasks(study: Study, cohort: StudyCohort): Exclusion[] {
  return study.tasks.flatMap((config) => {
    const task = taskOf(config);
    return preparedCasesOf(cohort, config.name).flatMap((one) => {
      const reason = task.missing(factsOf(one));
      return reason === null
        ? []
        : [{ case: one.id, file: null, reason: `left out of ${config.name}: ${reason}` }];
    });
  });
}

const csvHeader = [
  "quantity",
  "task",
  "strategy",
  "model",
  "comparator",
  "reference",
  "seed",
  "case",
  "value",
] as const;
type CsvRow = Partial<Record<(typeof csvHeader)[number], string | number | null>>;

/** The numbers of a study in long format: one row a number. Gains are percents; times are not among them. */
export function resultsCsv({ cells, gains, distances, drift = [], learningCurves }: StudyResults): string {
  const rows: CsvRow[] = [];
  for (const { task, strategy, model, comparator, seed, result } of cells) {
    if (!result) continue;
    const { name, mean, standardDeviation, cases, secondary } = result.metric;
    const ofCase = standardDeviation === null ? "Score" : name;
    const cell = { task, strategy, model, comparator, seed };
    for (const { case: id, value, falseAlarm } of cases) {
      if (value !== null) rows.push({ ...cell, quantity: ofCase, case: id, value });
      if (falseAlarm !== undefined)
        rows.push({ ...cell, quantity: "False alarm", case: id, value: Number(falseAlarm) });
    }
    rows.push({ ...cell, quantity: standardDeviation === null ? name : `${name} mean`, value: mean });
    if (standardDeviation !== null)
      rows.push({ ...cell, quantity: `${name} standard deviation`, value: standardDeviation });
    for (const [other, value] of Object.entries(secondary)) rows.push({ ...cell, quantity: other, value });
  }
  for (const { task, strategy, model, seed, reference, percent } of gains) {
    const row = { task, strategy, model, comparator: "fine-tuned", reference, seed };
    rows.push({ ...row, quantity: "RPG", value: percent });
  }
  for (const {
    name,
    paper,
    medianHeuristic,
    multiBandwidth,
    withoutKernel,
    depths = [],
    ...of
  } of distances) {
    const { task, strategy, model, seed } = of;
    const row = { task, strategy, model, comparator: "fine-tuned", reference: comparatorOf[name], seed };
    rows.push({ ...row, quantity: name, value: paper.biased });
    rows.push({ ...row, quantity: `${name} unbiased`, value: paper.unbiased });
    rows.push({ ...row, quantity: `${name} off-diagonal mean`, value: paper.offDiagonalMean });
    rows.push({ ...row, quantity: `${name} median heuristic`, value: medianHeuristic.biased });
    rows.push({ ...row, quantity: `${name} multi-bandwidth`, value: multiBandwidth.biased });
    for (const { depth, kernel, withoutKernel: there } of depths) {
      rows.push({ ...row, quantity: `${name} at ${depth}, median heuristic`, value: kernel?.biased ?? null });
      rows.push({ ...row, quantity: `${name} at ${depth}, linear CKA`, value: there.linearCka });
      rows.push({ ...row, quantity: `${name} at ${depth}, Procrustes`, value: there.procrustes });
      rows.push({ ...row, quantity: `${name} at ${depth}, mean shift`, value: there.meanShift });
    }
    if (withoutKernel === undefined) continue;
    rows.push({ ...row, quantity: `${name} linear CKA`, value: withoutKernel.linearCka });
    rows.push({ ...row, quantity: `${name} Procrustes`, value: withoutKernel.procrustes });
    rows.push({ ...row, quantity: `${name} mean shift`, value: withoutKernel.meanShift });
  }
  for (const { task, strategy, model, depths, ...ofSeeds } of drift) {
    const row = { task, strategy, model, comparator: "fine-tuned", reference: "fine-tuned" };
    const add = (what: string, range: Range | null) => {
      for (const end of ["low", "mean", "high"] as const)
        rows.push({ ...row, quantity: `Drift between seeds${what}, ${end}`, value: range?.[end] ?? null });
    };
    add("", ofSeeds.paper);
    add(" median heuristic", ofSeeds.medianHeuristic);
    add(" linear CKA", ofSeeds.linearCka);
    add(" Procrustes", ofSeeds.procrustes);
    add(" mean shift", ofSeeds.meanShift);
    for (const { depth, linearCka, procrustes, meanShift } of depths) {
      add(` at ${depth}, linear CKA`, linearCka);
      add(` at ${depth}, Procrustes`, procrustes);
      add(` at ${depth}, mean shift`, meanShift);
    }
  }
  for (const { metric, points, ...of } of learningCurves?.curves ?? []) {
    const { task, strategy, model } = of;
    for (const { comparator, patients, mean } of points)
      rows.push({
        ...{ task, strategy, model, comparator, value: mean },
        quantity: `${metric} mean, trained on ${patients} patients`,
      });
  }
  const lines = rows.map((row) => csvHeader.map((column) => csvField(row[column] ?? "")).join(","));
  return `${[csvHeader.join(","), ...lines].join("\n")}\n`;
}
