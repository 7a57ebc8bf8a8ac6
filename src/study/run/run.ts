import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { countMasks, masksInWords } from "../../cohort/mask-counts.js";
import { columnsOf } from "../../cohort/own-columns.js";
import { requireCallback, requireList, requireOptions, requireSignal } from "../../common/arguments.js";
import { expected, TransferLimitsError } from "../../common/errors.js";
import { type Lock, whileLocked } from "../../common/lock.js";
import type { StudyEvent } from "../../common/progress.js";
import { writeSealedJson } from "../../common/sealed-json.js";
import type { Damage, OnDamage } from "../../common/set-aside.js";
import { withCodedErrors } from "../../common/system-errors.js";
import { Tensor } from "../../native/tensor.js";
import { studyPaths } from "../../results/paths.js";
import { readOwn } from "../../results/read-own.js";
import { resolvedStudySchema } from "../../results/resolved-study.js";
import type { StudyResults } from "../../results/study.js";
import { labelOf } from "../cell/cell-context.js";
import {
  isFinished,
  readFailure,
  removeFailure,
  removeLeftovers,
  removeProgressOf,
  threadsOf,
} from "../cell/cell-folder.js";
import { settleFidelity } from "../cell/fidelity.js";
import { writeJobs } from "../cell/job.js";
import { recordFailure, untilReleased } from "../cell/work-on-cell.js";
import type { Study, StudyInput } from "../config/schema.js";
import { basesOf, type CellBasis } from "../plan/basis.js";
import { refuseTooLarge } from "../plan/check-memory.js";
import { checkWeights } from "../plan/check-weights.js";
import type { CheckedStudy } from "../plan/checked-study.js";
import { preparedCases, readCohort, writeCohort } from "../plan/cohort-file.js";
import { checkDevicesOfRanks, DevicePool, onDevices, withDevices } from "../plan/devices.js";
import { checkStudy } from "../plan/load-study.js";
import type { PlannedCell, StudyPlan } from "../plan/plan.js";
import { prepareStudyCohort } from "../plan/prepare.js";
import { refuseUntestable } from "../plan/usable-cases.js";
import { attemptCell } from "./attempt.js";
import { ResultsCollector } from "./collect.js";
import { type Meeting, requireAsMany } from "./meeting.js";
import { failedStart, runSchedule, type Settled } from "./schedule.js";
import { SessionLog } from "./sessions.js";
import { settleCells } from "./settle-cells.js";
import { TimeLeft } from "./time-left.js";
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
  /**
   * Only these cells, or none: the rest stays pending, and can be worked on one by one (the command `cell`). `preparation`
   * readies all of them to be tried, `collection` gathers what became of them; neither needs the study's devices.
   */
  only?: "pretraining" | "preparation" | "collection";
}

/**
 * Runs a study, or goes on with one that was interrupted: prepares the cohort, hands every cell that is not there yet
 * to a worker process of its own, and gathers the results, also after each cell. A cell that fails does not stop the
 * others: it stands in the results with its reason, and the next run tries it again. Of a study that was changed since, what
 * still holds is kept, and what no longer belongs is moved away, from where it comes back should the study be changed back.
 *
 * @param study from `loadStudy`, or an object as a study file would hold it, with paths relative to the working folder
 * @returns what `results.json` in the study's folder says
 * @throws what `onProgress` threw, once the study has stopped; `BAD_CONFIG` before any work where the study is wrong;
 *   `BUSY` when another process works there; `ABORTED`, after which
 *   running it again goes on; `DISK_FULL`, `BAD_FILE`
 */
export async function runStudy(study: Study | StudyInput, options: RunOptions = {}): Promise<StudyResults> {
  requireOptions(options);
  requireSignal(options.signal);
  if (options.onProgress !== undefined) requireCallback(options.onProgress, "onProgress");
  if (options.devices !== undefined) requireList(options.devices, "devices", "an array of devices");
  if (options.only !== undefined && !parts.includes(options.only))
    throw expected('"pretraining", "preparation" or "collection"', "only", options.only);
  if (options.jobs !== undefined && !(Number.isSafeInteger(options.jobs) && options.jobs >= 1)) {
    throw expected("a whole number of at least 1", "jobs", options.jobs);
  }
  return runChecked(await checkStudy(study), options);
}

/**
 * The same of a study that was checked.
 *
 * @param meeting of those that were started together with this process, and train each cell with it, one after the other
 */
export async function runChecked(
  asked: CheckedStudy,
  options: RunOptions = {},
  meeting?: Meeting,
): Promise<StudyResults> {
  const listener = new Listener(options);
  const worksOnNone = options.only === "preparation" || options.only === "collection";
  const checked = worksOnNone ? onDevices(asked, options.devices) : withDevices(asked, options.devices);
  const { output: folder, ranks, devices = [] } = checked.study.execution;
  if (meeting) requireAsMany(ranks, meeting);
  else if (!worksOnNone) checkDevicesOfRanks(ranks, devices);
  const liveBefore = Tensor.live;
  try {
    return await withCodedErrors(async () => {
      await mkdir(studyPaths(folder).cells, { recursive: true });
      return whileLocked(
        studyPaths(folder).lock,
        (lock) =>
          runLocked(
            checked,
            { ...options, ...(meeting ? { meeting, jobs: 1 } : {}) },
            lock,
            AbortSignal.any([listener.signal, lock.lost]),
            listener.tell,
          ),
        { what: folder },
      );
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

const parts: readonly unknown[] = ["pretraining", "preparation", "collection"];

async function runLocked(
  checked: CheckedStudy,
  asked: Pick<RunOptions, "jobs" | "only"> & { meeting?: Meeting },
  lock: Lock,
  signal: AbortSignal,
  onProgress: (event: StudyEvent) => void,
): Promise<StudyResults> {
  const { only, meeting } = asked;
  const { study, plan } = checked;
  const folder = study.execution.output;
  const devices = study.execution.devices ?? [study.execution.device];
  const jobs = asked.jobs ?? Math.max(study.execution.jobs, devices.length);
  const damages: Damage[] = [];
  const tell = (event: StudyEvent) => {
    if (event.kind === "set-aside") damages.push(event);
    onProgress(event);
  };
  const onDamage = (damage: Damage) => tell({ kind: "set-aside", ...damage });
  const before = await readOwn<Study>(folder, studyPaths(folder).resolved, onDamage, resolvedStudySchema);
  const threads = await settleThreads(study, jobs, before, plan);
  const cells = plan.cells.filter(({ kind }) => only !== "pretraining" || kind === only);
  // Whether what is there still belongs to the study is known once the cohort is.
  const there = await soundCells(folder, plan, onDamage);
  const absent = cells.filter(({ id }) => !there.has(id));
  const isComputed = only !== "preparation" && only !== "collection";
  // What is prepared here may run where there is more memory.
  if (isComputed) refuseTooLarge(study, absent);
  const sessions = await SessionLog.open(folder, onDamage);
  await removeLeftovers(folder, study.execution.cache);
  using workers = new WorkerPool(threads, isComputed ? absent.length : 0, study.execution.cellsPerProcess);
  const weights = await checkWeights(study, plan, onDamage);
  const prepare = (trustCache: boolean) =>
    prepareStudyCohort(checked, { signal, onProgress, onDamage, trustCache });
  let cohort = await prepare(absent.length === 0);
  if (there.size === 0) refuseUntestable(study, cells, cohort);
  const settled = (sound: ReadonlySet<string>): Promise<Set<string>> =>
    settleCells(folder, plan, { bases: basesOf(study, plan, cohort, weights), sound, tell, onDamage });
  const done = await settled(there);
  const missing = cells.filter(({ id }) => !done.has(id));
  if (missing.length > 0 && absent.length === 0) cohort = await prepare(false);
  const bases = basesOf(study, plan, cohort, weights);
  if (isComputed) refuseTooLarge(study, missing);
  const alreadyDone = cells.length - missing.length;
  const isWork = missing.length > 0 && isComputed;
  if (isWork || damages.length > 0) sessions.begin({ devices, threads, jobs }, damages);
  if (isWork) workers.expect(missing.length);
  await removeProgressOf(folder, done);
  await settleFidelity(plan, done, weights, { study, cohort, onDamage, signal });
  await readCohort(folder, onDamage); // what is damaged is set aside
  await writeCohort(folder, cohort);
  onProgress({
    kind: "prepared",
    notes: masksInWords(countMasks(preparedCases(cohort), columnsOf(study.cohort))),
  });

  await writeJobs(plan.cells, { study, threads, weights, bases });
  if (only === "collection") await failWithoutStart(folder, cells, done);
  else for (const { id } of cells) if (!done.has(id)) await removeFailure(folder, id);
  onProgress({ kind: "plan", cells: cells.map(labelOf), alreadyDone });

  const collector = new ResultsCollector(study, plan, bases, cohort, threads, sessions);
  const results = isWork ? null : await collector.write(signal);
  if (isWork) await collector.writeSoFar();
  if (results !== null && (only === "preparation" || only === "collection")) return results;
  const timeLeft = new TimeLeft(cells, done, jobs);
  /** Cells side by side may look at one encoder both. */
  const toldOf = new Set<string>();
  const onEvent = (event: StudyEvent): void => {
    if (event.kind === "encoder-checked") {
      const said = JSON.stringify(event);
      if (toldOf.has(said)) return;
      toldOf.add(said);
    }
    timeLeft.saw(event);
    tell(event);
  };
  const refused = new AbortController();
  let refusal: TransferLimitsError | null = null;
  const stop = AbortSignal.any([signal, refused.signal]);
  await runSchedule(cells, {
    jobs,
    done,
    signal: stop,
    devices: new DevicePool(devices),
    run: async (cell, device) => {
      const attempt = attemptCell({ study, cell, device, workers, meeting, signal: stop, tell: onEvent });
      const outcome = await attempt.catch((error: unknown) => asFailure(error));
      if (outcome.kind === "failed" && outcome.code === "UNSOUND_ENCODER") {
        refusal ??= new TransferLimitsError("UNSOUND_ENCODER", outcome.reason);
        refused.abort();
      }
      return outcome;
    },
    released: async (cell, holder, over) => {
      onProgress({ kind: "cell-elsewhere", cell: labelOf(cell), holder });
      const waited = performance.now();
      const end = await untilReleased(folder, cell.id, (bases.get(cell.id) as CellBasis).hash, over);
      if (end.kind === "free") workers.expectAnother();
      if (end.kind !== "done") return end;
      return { ...end, seconds: (performance.now() - waited) / 1000, nativeSeconds: 0 };
    },
    settled: async (cell, outcome) => {
      if (outcome.kind === "stopped") return;
      const known = outcome.kind === "failed" && (await readFailure(folder, cell.id));
      if (known === null) await recordFailure(folder, { id: cell.id, ...withoutKind(outcome as Failed) });
      await lock.requireHeld();
      await collector.writeSoFar();
      onProgress(eventOf(cell, outcome));
      onProgress(timeLeft.after(cell, outcome));
    },
  });
  if (lock.lost.aborted) throw lock.lost.reason;
  if (refusal !== null) throw refusal;
  if (signal.aborted) {
    await sessions.update(); // otherwise it was, with the last results
    throw new TransferLimitsError(
      "ABORTED",
      `The study was stopped. What is finished lies in ${folder}; run the study again to go on from there`,
    );
  }
  // A pretraining that was computed again on another machine may have given another encoder.
  if (damages.length > 0) {
    const still = await settled(await soundCells(folder, plan, onDamage));
    if ([...done].some((id) => !still.has(id))) return runLocked(checked, asked, lock, signal, onProgress);
  }
  await lock.requireHeld();
  return results ?? (await collector.write(signal));
}

/** What starts from a cell that failed has failed too, without anybody having tried it. */
async function failWithoutStart(
  folder: string,
  cells: readonly PlannedCell[],
  done: ReadonlySet<string>,
): Promise<void> {
  for (const { id, dependsOn } of cells) {
    if (done.has(id) || (await readFailure(folder, id)) !== null) continue;
    for (const start of dependsOn) {
      const failure = done.has(start) ? null : await readFailure(folder, start);
      if (failure === null) continue;
      const reason = failedStart(start, failure.reason);
      await recordFailure(folder, { id, code: "WORKER_DIED", reason });
      break;
    }
  }
}

/**
 * Writes the study as it is run into its folder. The number of threads, on which the last bits of every number depend,
 * stays what it was when the study was first run, unless the study names one.
 */
async function settleThreads(
  study: Study,
  jobs: number,
  before: Study | null,
  plan: StudyPlan,
): Promise<number> {
  const share = Math.max(1, Math.floor(availableParallelism() / (jobs * study.execution.ranks)));
  const known = study.execution.threads ?? before?.execution.threads;
  const threads = known ?? (await threadsOfCells(study.execution.output, plan)) ?? share;
  const settled: Study = { ...study, execution: { ...study.execution, threads } };
  await writeSealedJson(studyPaths(study.execution.output).resolved, settled);
  return threads;
}

/** Cells of a plan that are there as they were written; what is damaged is set aside. */
async function soundCells(folder: string, { cells }: StudyPlan, onDamage: OnDamage): Promise<Set<string>> {
  const sound = new Set<string>();
  for (const { id } of cells) if (await isFinished(folder, id, onDamage)) sound.add(id);
  return sound;
}

/** How many threads a finished cell had; null where there is none. */
async function threadsOfCells(folder: string, { cells }: StudyPlan): Promise<number | null> {
  for (const { id } of cells) {
    const threads = await threadsOf(folder, id);
    if (threads !== null) return threads;
  }
  return null;
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

type Failed = Extract<Settled, { kind: "failed" }>;

/** What speaks against working on a cell is told of the cell. */
function asFailure(error: unknown): Failed {
  if (!(error instanceof TransferLimitsError)) throw error;
  return { kind: "failed", code: error.code, reason: error.message };
}

const withoutKind = ({ code, reason }: Failed) => ({ code, reason });

function eventOf(cell: PlannedCell, outcome: Exclude<Settled, { kind: "stopped" }>): StudyEvent {
  if (outcome.kind === "failed") return { kind: "cell-failed", cell: labelOf(cell), reason: outcome.reason };
  const { metric, seconds, nativeSeconds } = outcome;
  return { kind: "cell-done", cell: labelOf(cell), metric, seconds, nativeSeconds };
}
