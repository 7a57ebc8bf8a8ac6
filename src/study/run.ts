import { mkdir, rm } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { countMasks, masksInWords } from "../cohort/mask-counts.js";
import { requireCallback, requireList, requireOptions, requireSignal } from "../common/arguments.js";
import { writeJson } from "../common/atomic-file.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import type { StudyEvent } from "../common/progress.js";
import { withCodedErrors } from "../common/system-errors.js";
import { Tensor } from "../native/tensor.js";
import { type Basis, basisOf, refuseOtherBasis } from "./basis.js";
import { labelOf } from "./cell.js";
import {
  readCell,
  readJson,
  readPretraining,
  removeLeftovers,
  studyPaths,
  writeFailure,
} from "./cell-folder.js";
import { refuseChanges } from "./changes.js";
import { refuseTooLarge } from "./check-memory.js";
import { differingCases, preparedCases, readCohort, type StudyCohort, writeCohort } from "./cohort-file.js";
import { ResultsCollector } from "./collect.js";
import { DevicePool, withDevices } from "./devices.js";
import { checkStudy } from "./load.js";
import { whileLocked } from "./lock.js";
import { type PlannedCell, planStudy, type StudyPlan } from "./plan.js";
import { prepareStudyCohort } from "./prepare.js";
import type { StudyResults } from "./results.js";
import { type Outcome, runSchedule } from "./schedule.js";
import type { Study, StudyInput } from "./schema.js";
import { SessionLog } from "./sessions.js";
import { TimeLeft } from "./time-left.js";
import { refuseUntestable } from "./usable-cases.js";
import { checkWeights } from "./weights.js";
import { WorkerPool } from "./worker-process.js";

/** How a study is run, and who is told of it. */
export interface RunOptions {
  /** Stops the study: workers end after their present step, and running it again goes on from their last epochs. */
  signal?: AbortSignal;
  /** Told of everything that happens; what it throws stops the study. */
  onProgress?: (event: StudyEvent) => void;
  /** Cells that run side by side, instead of `execution.jobs`. */
  jobs?: number;
  /** Devices that cells are handed out to, instead of `execution.devices` or `execution.device`. */
  devices?: readonly string[];
  /** Only these cells; the rest stays pending. */
  only?: "pretraining";
}

/**
 * Runs a study, or goes on with one that was interrupted: prepares the cohort, hands every cell that is not there yet
 * to a worker process of its own, and gathers the results, also after each cell. A cell that fails does not stop the
 * others: it stands in the results with its reason, and the next run tries it again.
 *
 * @param study from `loadStudy`, or an object as a study file would hold it, with paths relative to the working folder
 * @returns what `results.json` in the study's folder says
 * @throws what `onProgress` threw, once the study has stopped; `BAD_CONFIG` before any work where the study is wrong, or
 *   is not the one whose results lie in its folder; `BUSY` when another process works there; `ABORTED`, after which
 *   running it again goes on; `DISK_FULL`, `BAD_FILE`
 */
export async function runStudy(study: Study | StudyInput, options: RunOptions = {}): Promise<StudyResults> {
  requireOptions(options);
  requireSignal(options.signal);
  if (options.onProgress !== undefined) requireCallback(options.onProgress, "onProgress");
  const listener = new Listener(options);
  if (options.devices !== undefined) requireList(options.devices, "devices", "an array of devices");
  if (options.only !== undefined && options.only !== "pretraining")
    throw expected('"pretraining"', "only", options.only);
  if (options.jobs !== undefined && !(Number.isSafeInteger(options.jobs) && options.jobs >= 1)) {
    throw expected("a whole number of at least 1", "jobs", options.jobs);
  }
  const checked = withDevices(await checkStudy(study), options.devices);
  const folder = checked.execution.output;
  const liveBefore = Tensor.live;
  try {
    return await withCodedErrors(async () => {
      await mkdir(studyPaths(folder).cells, { recursive: true });
      return whileLocked(folder, () => runLocked(checked, options, listener.signal, listener.tell));
    });
  } catch (error) {
    throw listener.failure ? listener.failure.error : error;
  } finally {
    const alive = Tensor.live - liveBefore;
    if (alive > 0) {
      const message = `${alive} tensors that the study made were still alive when it ended`;
      process.emitWarning(message, { code: "TRANSFER_LIMITS_LEAK" });
    }
  }
}

async function runLocked(
  study: Study,
  { jobs: jobsAsked, only }: RunOptions,
  signal: AbortSignal,
  onProgress: (event: StudyEvent) => void,
): Promise<StudyResults> {
  const folder = study.execution.output;
  const devices = study.execution.devices ?? [study.execution.device];
  const jobs = jobsAsked ?? Math.max(study.execution.jobs, devices.length);
  const threads = await settleStudy(study, jobs);
  const plan = planStudy(study);
  const finished = await finishedCells(folder, plan);
  const done = new Set(finished.keys());
  const cells = plan.cells.filter(({ kind }) => only === undefined || kind === only);
  refuseTooLarge(
    study,
    cells.filter(({ id }) => !done.has(id)),
  );
  const alreadyDone = cells.filter(({ id }) => done.has(id)).length;
  const session =
    alreadyDone < cells.length ? await SessionLog.begin(folder, { devices, threads, jobs }) : null;
  await removeLeftovers(folder, study.execution.cache, done);
  using workers = new WorkerPool(threads, cells.length - alreadyDone);
  await checkWeights(study, plan, done);
  const cohort = await prepareStudyCohort(study, { signal, onProgress });
  if (done.size === 0) refuseUntestable(study, cells, cohort);
  await settleCohort(folder, cohort, done.size > 0);
  refuseOtherBasis(folder, finished, basisOf(study, cohort));
  onProgress({ kind: "prepared", notes: masksInWords(countMasks(preparedCases(cohort))) });

  for (const { id } of cells) if (!done.has(id)) await rm(studyPaths(folder).failure(id), { force: true });
  onProgress({ kind: "plan", cells: cells.map(labelOf), alreadyDone });

  const collector = new ResultsCollector(study, plan, cohort, threads, session);
  let results = await collector.write(signal);
  const timeLeft = new TimeLeft(cells, done, jobs);
  await runSchedule(cells, {
    jobs,
    done,
    signal,
    devices: new DevicePool(devices),
    run: (cell, device) =>
      workers.run({ study: onDevice(study, device), cell, cohort, threads }, signal, (event) => {
        timeLeft.saw(event);
        onProgress(event);
      }),
    settled: async (cell, outcome) => {
      if (outcome.kind === "stopped") return;
      if (outcome.kind === "failed") await writeFailure(folder, { id: cell.id, ...withoutKind(outcome) });
      results = await collector.write();
      onProgress(eventOf(cell, outcome));
      onProgress(timeLeft.after(cell, outcome));
    },
  });
  if (signal.aborted) {
    await session?.update(); // otherwise it was, with the last results
    throw new TransferLimitsError(
      "ABORTED",
      `The study was stopped. What is finished lies in ${folder}; run the study again to go on from there`,
    );
  }
  return results;
}

/**
 * Writes the study as it is run into its folder, unless the folder holds another one. The number of threads, on which
 * the last bits of every number depend, stays what it was when the study was first run, unless the study names one.
 */
async function settleStudy(study: Study, jobs: number): Promise<number> {
  const { resolved } = studyPaths(study.execution.output);
  const before = await readJson<Study>(resolved);
  if (before) refuseChanges(before, study);
  const share = Math.max(1, Math.floor(availableParallelism() / jobs));
  const threads = study.execution.threads ?? before?.execution.threads ?? share;
  await writeJson(resolved, { ...study, execution: { ...study.execution, threads } });
  return threads;
}

/** Refuses to mix results of one cohort with those of another. */
async function settleCohort(folder: string, cohort: StudyCohort, hasResults: boolean): Promise<void> {
  const before = await readCohort(folder);
  const differing = before ? differingCases(before, cohort) : [];
  if (hasResults && differing.length > 0) {
    const shown = differing.slice(0, 5).join(", ") + (differing.length > 5 ? " and others" : "");
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `The cohort is not the one whose results lie in ${folder}: ${differing.length} cases differ (${shown}), because ` +
        "their files or the manifest changed. Choose another execution.output, or put the files back as they were",
    );
  }
  if (differing.length > 0) await rm(studyPaths(folder).allProgress, { recursive: true, force: true });
  await writeCohort(folder, cohort);
}

/** The cells whose results lie in the folder, and what each rests on. */
async function finishedCells(folder: string, { cells }: StudyPlan): Promise<Map<string, Basis | undefined>> {
  const finished = new Map<string, Basis | undefined>();
  for (const { id, kind } of cells) {
    const result = await (kind === "pretraining" ? readPretraining(folder, id) : readCell(folder, id));
    if (result) finished.set(id, result.basis);
  }
  return finished;
}

/** Whoever is told of the study's progress. Where that fails, the study stops as on request, and ends with its error. */
class Listener {
  readonly #stop = new AbortController();
  readonly #onProgress: (event: StudyEvent) => unknown;
  readonly signal: AbortSignal;
  failure: { error: unknown } | undefined;

  constructor({ signal, onProgress = () => {} }: RunOptions) {
    this.#onProgress = onProgress;
    this.signal = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
  }

  readonly tell = (event: StudyEvent): void => {
    if (this.failure) return;
    try {
      const answer = this.#onProgress(event);
      if (answer instanceof Promise) answer.catch((error: unknown) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  };

  #fail(error: unknown): void {
    this.failure ??= { error };
    this.#stop.abort();
  }
}

/** What the worker of one cell sees: a study on a single device. */
const onDevice = (study: Study, device: string): Study => ({
  ...study,
  execution: { ...study.execution, device, devices: [device] },
});

const withoutKind = ({ code, reason }: Extract<Outcome, { kind: "failed" }>) => ({ code, reason });

function eventOf(cell: PlannedCell, outcome: Exclude<Outcome, { kind: "stopped" }>): StudyEvent {
  if (outcome.kind === "failed") return { kind: "cell-failed", cell: labelOf(cell), reason: outcome.reason };
  const { metric, seconds, nativeSeconds } = outcome;
  return { kind: "cell-done", cell: labelOf(cell), metric, seconds, nativeSeconds };
}
