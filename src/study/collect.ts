import { join } from "node:path";
import {
  comparatorOf,
  type FeatureScale,
  measureDistance,
  scaleOf,
  undefinedDistance,
} from "../alignment/distances.js";
import { factsOf } from "../cohort/case-volumes.js";
import { countMasks } from "../cohort/mask-counts.js";
import { writeFileAtomically } from "../common/atomic-file.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { packageVersion } from "../common/package-version.js";
import { writeSealedJson } from "../common/sealed-json.js";
import type { Comparator, TaskKind } from "../common/vocabulary.js";
import { buildInfo } from "../native/runtime.js";
import { readSafetensors } from "../native/safetensors.js";
import type { Tensor } from "../native/tensor.js";
import type { CellResult } from "../results/cell.js";
import type { Distance, DistanceName } from "../results/distances.js";
import { studyPaths } from "../results/paths.js";
import type { CellSummary, Exclusion, StudyResults } from "../results/study.js";
import { computeClaims } from "../statistics/claims.js";
import { computeFindings } from "../statistics/findings.js";
import { computeGains } from "../statistics/gains.js";
import { computeIntervals } from "../statistics/metric-intervals.js";
import { computeRelations } from "../statistics/relations.js";
import { taskOf } from "../tasks/index.js";
import { readCell, readFailure, readPretraining } from "./cell-folder.js";
import { divisionOf, preparedCases, preparedCasesOf, type StudyCohort } from "./cohort-file.js";
import type { PlannedCell, StudyPlan } from "./plan.js";
import type { Study } from "./schema.js";
import type { SessionLog } from "./sessions.js";

/** Draws of patients and seeds for the interval of a relation. */
const relationResamples = 1_000;

const references = Object.entries(comparatorOf) as [DistanceName, Comparator][];

/** Whose features give the bandwidth for all distances of a task and model: the first that is done. */
const scaleFrom: readonly Comparator[] = ["pretrained", "random-weights", "from-scratch"];

/**
 * Gathers what the cells of a study left on disk into `results.json` and `results.csv`, whether or not all are done.
 * Distances are computed once each.
 */
export class ResultsCollector {
  readonly #distances = new Map<string, Distance>();
  readonly #scales = new Map<string, Promise<FeatureScale | null>>();

  constructor(
    private readonly study: Study,
    private readonly plan: StudyPlan,
    private readonly cohort: StudyCohort,
    private readonly threads: number,
    private readonly sessions: SessionLog,
  ) {}

  /** Writes both files anew. */
  async write(signal?: AbortSignal): Promise<StudyResults> {
    const results = await this.collect(signal);
    const paths = studyPaths(this.study.execution.output);
    await writeSealedJson(paths.results, results);
    await writeFileAtomically(paths.table, resultsCsv(results));
    return results;
  }

  private async collect(signal: AbortSignal | undefined): Promise<StudyResults> {
    const { study, plan, cohort } = this;
    const cells: CellSummary[] = [];
    const pretraining: StudyResults["pretraining"] = [];
    for (const cell of plan.cells) {
      if (cell.kind === "pretraining") pretraining.push(await this.pretraining(cell));
      else cells.push(await this.summary(cell));
    }
    const done = cells.flatMap(({ result }) => (result ? [result] : []));
    const distances = await this.distances(done, signal);
    const { exposure = [] } = cohort;
    const claims = computeClaims(done, study.claims, { exposure, pretraining });
    // Drawing patients and seeds anew takes seconds, which no cell waits for.
    const isSettled = cells.every(({ status }) => status !== "pending");
    const relations = computeRelations(
      { cells, claims, distances },
      isSettled ? { resamples: relationResamples } : {},
    );
    return {
      format: "transfer-limits/results@1",
      name: study.name,
      complete: [...cells, ...pretraining].every(({ status }) => status === "done"),
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
        masks: countMasks(preparedCases(cohort)),
        excluded: [...cohort.excluded, ...leftOutOfTasks(study, cohort)],
      },
      cells,
      gains: computeGains(done),
      claims,
      findings: computeFindings({ cells, distances, pretraining }),
      distances,
      ...(isSettled ? { intervals: computeIntervals(done) } : {}),
      relations,
      pretraining,
      ...(exposure.length > 0 ? { exposure } : {}),
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

  private async summary(cell: PlannedCell): Promise<CellSummary> {
    const folder = this.study.execution.output;
    const result = await readCell(folder, cell.id);
    const failure = result ? null : await readFailure(folder, cell.id);
    return {
      id: cell.id,
      task: cell.task as CellSummary["task"],
      strategy: cell.strategy as CellSummary["strategy"],
      model: cell.model,
      comparator: cell.comparator as Comparator,
      seed: cell.seed,
      status: result ? "done" : failure ? "failed" : "pending",
      ...(failure ? { reason: failure.reason } : {}),
      ...(result ? { result: withoutBasis(result) } : {}),
    };
  }

  private async pretraining({ id, model, seed }: PlannedCell): Promise<StudyResults["pretraining"][number]> {
    const folder = this.study.execution.output;
    const result = await readPretraining(folder, id);
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

  private async distances(done: readonly CellResult[], signal: AbortSignal | undefined): Promise<Distance[]> {
    const distances: Distance[] = [];
    for (const cell of done.filter(({ comparator }) => comparator === "fine-tuned")) {
      for (const [name, comparator] of references) {
        const other = done.find(
          (one) =>
            one.task === cell.task &&
            one.strategy === cell.strategy &&
            one.model === cell.model &&
            one.seed === cell.seed &&
            one.comparator === comparator,
        );
        if (other) {
          const scale = await this.scale(cell, done);
          distances.push(await this.distance(name, cell, other, scale, signal));
        }
      }
    }
    return distances;
  }

  /** The scale of features for a fine-tuned cell: the same for all seeds, so that their distances can be averaged. */
  private async scale(
    fineTuned: CellResult,
    done: readonly CellResult[],
  ): Promise<(FeatureScale & { cell: string }) | null> {
    const { task, strategy, model } = fineTuned;
    const beside = done.filter(
      (one) => one.task === task && one.strategy === strategy && one.model === model,
    );
    for (const comparator of scaleFrom) {
      for (const { id } of beside.filter((one) => one.comparator === comparator)) {
        const known = this.#scales.get(id) ?? this.scaleOfCell(id, comparator);
        this.#scales.set(id, known);
        const scale = await known;
        if (scale !== null) return { ...scale, cell: id };
      }
    }
    return null;
  }

  private async scaleOfCell(id: string, comparator: Comparator): Promise<FeatureScale | null> {
    try {
      using embeddings = await this.embeddings(id);
      return await scaleOf(embeddings, comparator);
    } catch (error) {
      if (error instanceof TransferLimitsError && undefinedBy.has(error.code)) return null;
      throw error;
    }
  }

  private async distance(
    name: DistanceName,
    fineTuned: CellResult,
    reference: CellResult,
    scale: (FeatureScale & { cell: string }) | null,
    signal: AbortSignal | undefined,
  ): Promise<Distance> {
    const key = `${name} ${fineTuned.id} ${scale?.cell}`;
    const known = this.#distances.get(key);
    if (known) return known;
    const { task, strategy, model, seed } = fineTuned;
    const of = { name, task, strategy, model, seed };
    let shape: number[] = [];
    let distance: Distance;
    try {
      using a = await this.embeddings(fineTuned.id);
      shape = a.shape;
      using b = await this.embeddings(reference.id);
      const options = { sigma: this.study.alignment.sigma, scale, ...(signal ? { signal } : {}) };
      distance = await measureDistance(of, a, b, options);
    } catch (error) {
      // A distance that cannot be computed says why in its place, beside the results that are sound.
      if (!(error instanceof TransferLimitsError) || !undefinedBy.has(error.code)) throw error;
      distance = undefinedDistance(of, shape, messageOf(error));
    }
    this.#distances.set(key, distance);
    return distance;
  }

  /** @throws `NOT_FINITE`, `BAD_CHECKPOINT` */
  private async embeddings(id: string): Promise<Tensor> {
    const folder = studyPaths(this.study.execution.output).cell(id);
    const file = await readSafetensors(join(folder, "embeddings.safetensors"));
    const embeddings = await file.tensor("embeddings");
    const wrong = await embeddings.countNotFinite();
    if (wrong === 0) return embeddings;
    embeddings.dispose();
    throw new TransferLimitsError(
      "NOT_FINITE",
      `Of the numbers in the embeddings of ${id}, ${wrong} are NaN or infinite: look at the network that made them`,
    );
  }
}

/** Several studies, in several places, may have the same results. */
const withoutBasis = ({ basis: _, ...result }: CellResult): CellResult => result;

/** Errors that lie in the embeddings themselves: numbers that are not finite, or a file that is not what it should be. */
const undefinedBy: ReadonlySet<string> = new Set(["BAD_INPUT", "BAD_CHECKPOINT", "NOT_FINITE"]);

/** The cohorts of single tasks, where any has one of its own. */
function ofTasks({ tasks }: StudyCohort): Pick<StudyResults["cohort"], "tasks"> {
  const own = Object.entries(tasks).map(([task, { manifest, cases, patients, split }]) => ({
    task: task as TaskKind,
    manifest,
    cases,
    patients,
    split: { train: split.train.length, validation: split.validation.length, test: split.test.length },
  }));
  return own.length === 0 ? {} : { tasks: own };
}

/** Cases that were prepared but lack what a task needs, with the reason. */
function leftOutOfTasks(study: Study, cohort: StudyCohort): Exclusion[] {
  return study.tasks.flatMap((config) =>
    preparedCasesOf(cohort, config.kind).flatMap((one) => {
      const reason = taskOf(config).missing(factsOf(one));
      return reason === null
        ? []
        : [{ case: one.id, file: null, reason: `left out of ${config.kind}: ${reason}` }];
    }),
  );
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
export function resultsCsv({ cells, gains, distances }: StudyResults): string {
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
  for (const { name, paper, medianHeuristic, multiBandwidth, withoutKernel, ...of } of distances) {
    const { task, strategy, model, seed } = of;
    const row = { task, strategy, model, comparator: "fine-tuned", reference: comparatorOf[name], seed };
    rows.push({ ...row, quantity: name, value: paper.biased });
    rows.push({ ...row, quantity: `${name} unbiased`, value: paper.unbiased });
    rows.push({ ...row, quantity: `${name} off-diagonal mean`, value: paper.offDiagonalMean });
    rows.push({ ...row, quantity: `${name} median heuristic`, value: medianHeuristic.biased });
    rows.push({ ...row, quantity: `${name} multi-bandwidth`, value: multiBandwidth.biased });
    if (withoutKernel === undefined) continue;
    rows.push({ ...row, quantity: `${name} linear CKA`, value: withoutKernel.linearCka });
    rows.push({ ...row, quantity: `${name} Procrustes`, value: withoutKernel.procrustes });
    rows.push({ ...row, quantity: `${name} mean shift`, value: withoutKernel.meanShift });
  }
  const lines = rows.map((row) => csvHeader.map((column) => csvField(row[column] ?? "")).join(","));
  return `${[csvHeader.join(","), ...lines].join("\n")}\n`;
}

/** Quoted where it must be; an apostrophe keeps a spreadsheet from reading text as a formula. */
function csvField(value: string | number): string {
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
