import { mkdir, rm } from "node:fs/promises";
import { writeFileAtomically, writeJson } from "../common/atomic-file.js";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { whileLocked } from "../common/lock.js";
import { readSealedJson, writeSealedJson } from "../common/sealed-json.js";
import { isThere } from "../common/set-aside.js";
import { studyPaths } from "../results/paths.js";
import { removeFailure } from "../study/cell/cell-folder.js";
import { openJob, readJob } from "../study/cell/job.js";
import type { Study } from "../study/config/schema.js";
import { digest } from "../study/plan/basis.js";
import { comparable } from "../study/plan/changes.js";
import { type CheckedStudy, withExecution } from "../study/plan/checked-study.js";
import type { PlannedCell } from "../study/plan/plan.js";
import type { CellTime } from "../study/plan/time-model.js";
import { plannedStates } from "../study/run/cell-states.js";
import { plannedTime } from "../study/run/planned-time.js";
import { removeAttempts } from "./attempts.js";
import { refuseFolder, refuseUnreadable } from "./checks.js";
import { askSlurm } from "./client.js";
import { isOnGpu, memoryMegabytesOf, minutesOf, packedSeconds, secondsOf } from "./estimates.js";
import { type ArrayJob, layOut } from "./layout.js";
import { type Limits, readLimits, usualLimits } from "./limits.js";
import { jobName, jobPrefix, slurmPaths, submissionsOf } from "./paths.js";
import { type QueuedTask, readQueue } from "./queue.js";
import { readSubmissions, type Submission } from "./record.js";
import { submitScript, withIds } from "./sbatch.js";
import {
  arrayScript,
  collectScript,
  dependencyOption,
  type JobToSubmit,
  megabytesOfMemory,
  minutesOfTime,
  prepareScript,
  referenceTo,
  type ScriptContext,
  setupScript,
  submitAllScript,
} from "./scripts.js";
import { cellsUnderWay, isLive } from "./under-way.js";

/** A job that was submitted, or whose script was written. */
export interface SubmittedJob {
  script: string;
  /** Its id in Slurm; null where its script was only written. */
  job: string | null;
  /** Null for a job that is no array. */
  tasks: number | null;
  cells: number;
  memoryMegabytes: number | null;
  minutes: number | null;
  /** What it waits for, as Slurm is told; null: nothing. */
  dependency: string | null;
}

/** What `run --slurm` did. */
export interface SubmittedStudy {
  /** Where the scripts lie; null where nothing is missing. */
  folder: string | null;
  jobs: SubmittedJob[];
  /** So many cells are done, or wait and run already. */
  done: number;
  underWay: number;
  /** Cells for which the queue has no room: they are submitted when this is called again. */
  left: string[];
  /** Why limits are not the cluster's. */
  warnings: string[];
}

/**
 * Submits what is missing of a study to Slurm: its preparation, its cells as arrays of tasks, and the job that gathers what
 * they leave. What waits or runs already is not submitted again.
 *
 * @param dryRun writes the scripts alone
 * @throws `SLURM`, `BAD_CONFIG`; `BUSY` where another process submits
 */
export async function submitStudy(
  asked: CheckedStudy,
  { dryRun = false }: { dryRun?: boolean } = {},
): Promise<SubmittedStudy> {
  const { output } = asked.study.execution;
  refuseFolder(output);
  const paths = slurmPaths(output);
  await mkdir(paths.all, { recursive: true });
  const work = async () => new Submitting(await withThreads(asked), dryRun).submit();
  return whileLocked(paths.lock, work, { what: paths.all });
}

/** What a cluster says of a study, as it is now. */
interface Known {
  limits: Limits;
  queue: QueuedTask[];
  earlier: Submission[];
  warnings: string[];
}

class Submitting {
  readonly #folder: string;
  readonly #prefix: string;
  private readonly study: Study;

  constructor(
    private readonly checked: CheckedStudy,
    private readonly dryRun: boolean,
  ) {
    const { study } = checked;
    this.study = study;
    this.#folder = study.execution.output;
    this.#prefix = jobPrefix(study.name, this.#folder);
  }

  async submit(): Promise<SubmittedStudy> {
    const { cells } = this.checked.plan;
    const known = await this.#askCluster();
    const live = cellsUnderWay(known.queue, known.earlier);
    const done = await this.#done();
    const missing = cells.filter(({ id }) => !done.has(id) && !live.has(id));
    const beside = (script: string) =>
      known.queue.filter((one) => one.script === script && isLive(one, known.earlier));
    const counts = {
      done: done.size,
      underWay: cells.filter(({ id }) => live.has(id) && !done.has(id)).length,
      warnings: known.warnings,
    };
    const [collecting] = beside("collect");
    const isGathered = missing.length === 0 && (collecting !== undefined || (await this.#isGathered()));
    if (isGathered) return { folder: null, jobs: [], left: [], ...counts };

    const sized = await this.#sized(missing, done, known.limits);
    const { arrays, left } = layOut(sized, {
      arraySize: known.limits.arraySize,
      packedSeconds: packedSeconds(this.#mostMinutes(known.limits)),
      // One place for preparing, one for gathering.
      tasks: known.limits.jobs - known.queue.length - 2,
      live,
    });
    const [preparing] = beside("prepare");
    const prepare =
      preparing === undefined && !(await this.#isPrepared(cells)) && missing.length > 0 ? "prepare" : null;
    const waitsFor = prepare ?? preparing?.id;
    const jobs: JobToSubmit[] = [
      ...(prepare === null
        ? []
        : [
            {
              script: prepare,
              after: { ok: [], any: collecting?.state === "RUNNING" ? [collecting.id] : [] },
            },
          ]),
      ...arrays.map(({ name, after }) => ({
        script: name,
        after: {
          ok: after.length > 0 ? after.map(referenceTo) : waitsFor === undefined ? [] : [waitsFor],
          any: [],
        },
      })),
      {
        script: "collect",
        after: {
          ok: [],
          any: [
            ...(arrays.length === 0 && waitsFor !== undefined ? [waitsFor] : arrays.map(({ name }) => name)),
            ...new Set(
              [...live].filter(([id]) => !done.has(id)).map(([, job]) => job.split("_")[0] as string),
            ),
            ...(collecting?.state === "RUNNING" ? [collecting.id] : []),
          ],
        },
      },
    ];
    const context = await this.#write(arrays, jobs, known.limits);
    const described = jobs.map(({ script }) => this.#describe(script, arrays, known.limits));
    if (this.dryRun) return { folder: context.paths.folder, jobs: described, left, ...counts };

    for (const id of arrays.flatMap(({ tasks }) => tasks.flat())) {
      await removeFailure(this.#folder, id);
      await removeAttempts(this.#folder, id);
    }
    // What waits to gather is superseded: the new one waits for all that the old one waits for.
    if (collecting?.state === "PENDING") await askSlurm("scancel", [collecting.id]);
    const submitted = await this.#submit(jobs, context);
    return {
      folder: context.paths.folder,
      jobs: described.map((job, index) => ({ ...job, ...submitted[index] })),
      left,
      ...counts,
    };
  }

  /** Two questions on the first call of a day, one on each later one. */
  async #askCluster(): Promise<Known> {
    const earlier = await readSubmissions(this.#folder);
    const { partition } = this.study.execution.slurm;
    let limitsAreRead = false;
    try {
      const limits = await readLimits(this.#folder, partition);
      limitsAreRead = true;
      if (limits.arraySize === 0)
        throw new TransferLimitsError(
          "SLURM",
          "This cluster has no arrays of jobs (MaxArraySize is 0), as which cells are submitted. Feed them one by one: " +
            "`plan --json` has the command of each",
        );
      const isSubmitted = earlier.some(({ jobs }) => jobs.size > 0);
      const queue = isSubmitted ? await readQueue(this.#prefix) : [];
      return { limits, queue, earlier, warnings: [] };
    } catch (error) {
      if (!this.dryRun || limitsAreRead) throw error;
      const [why] = messageOf(error).split("\n");
      const warning =
        `Slurm cannot be asked here: its usual limits are taken (arrays of ${usualLimits.arraySize}), and no job to wait ` +
        `or run. ${why}`;
      return { limits: usualLimits, queue: [], earlier, warnings: [warning] };
    }
  }

  /** Cells that are finished, and rest on what the study is now; without LibTorch here, that they are finished. */
  async #done(): Promise<Set<string>> {
    const paths = studyPaths(this.#folder);
    const { plan } = this.checked;
    const states = await plannedStates(this.checked);
    const done = new Set<string>();
    for (const { id } of plan.cells)
      if (states === null ? await isThere(paths.cell(id)) : states.cells.get(id)?.kind === "kept")
        done.add(id);
    return done;
  }

  async #isGathered(): Promise<boolean> {
    const paths = studyPaths(this.#folder);
    const found = await readSealedJson<{ complete?: unknown }>(paths.results);
    return found.state === "sound" && found.value.complete === true && (await isThere(paths.report));
  }

  /** Whether there is a job for each cell, for this very study. */
  async #isPrepared(cells: readonly PlannedCell[]): Promise<boolean> {
    const { device, threads } = this.study.execution;
    try {
      for (const { id } of cells) {
        const job = await readJob(this.#folder, id);
        if (id !== cells[0]?.id) continue;
        const { study: prepared } = await openJob(this.#folder, job, device);
        if (digest(comparable(prepared)) !== digest(comparable(this.study)) || job.threads !== threads)
          return false;
      }
      return true;
    } catch {
      return false; // preparing again says what is wrong
    }
  }

  async #sized(missing: readonly PlannedCell[], done: ReadonlySet<string>, limits: Limits) {
    // By the rates of this machine, until cells are done on a node.
    const { cells } = await plannedTime(this.checked, done);
    const most = this.#mostMinutes(limits);
    return missing.map((cell) => ({
      id: cell.id,
      dependsOn: cell.dependsOn.filter((id) => !done.has(id)),
      seconds: Math.min(
        secondsOf(cells[cell.id] as CellTime),
        most === null ? Number.POSITIVE_INFINITY : 60 * most,
      ),
      memoryMegabytes: memoryMegabytesOf(cell, this.study),
    }));
  }

  #mostMinutes(limits: Limits): number | null {
    const { time } = this.study.execution.slurm;
    return time === null ? limits.minutes : minutesOfTime(time);
  }

  #context(folder: ReturnType<ReturnType<typeof slurmPaths>["submission"]>, limits: Limits, number: number) {
    const { execution, name } = this.study;
    const gpu = isOnGpu(this.study);
    const context: ScriptContext = {
      name,
      output: this.#folder,
      settings: execution.slurm,
      cpus: execution.slurm.cpus ?? execution.ranks * (execution.threads as number),
      gres: execution.slurm.gres ?? (gpu ? `gpu:${execution.ranks}` : null),
      device: gpu ? "cuda:0" : null,
      mostMinutes: limits.minutes,
      paths: folder,
      jobNameOf: (script) => jobName(this.#prefix, number, script),
    };
    return context;
  }

  /** Writes the scripts of a submission, in place of those of one that never was submitted. */
  async #write(arrays: readonly ArrayJob[], jobs: readonly JobToSubmit[], limits: Limits) {
    const before = await submissionsOf(this.#folder);
    const last = before.at(-1) ?? 0;
    const isUnused = last > 0 && !(await isThere(slurmPaths(this.#folder).submission(last).submitted));
    const number = isUnused ? last : last + 1;
    const paths = slurmPaths(this.#folder).submission(number);
    if (isUnused) await rm(paths.folder, { recursive: true, force: true });
    await mkdir(paths.logs, { recursive: true });
    const context = this.#context(paths, limits, number);
    const { execution } = this.study;
    await writeJson(paths.study, { ...this.study, execution: { ...execution, engine: "slurm" } });
    await writeFileAtomically(paths.setup, setupScript(execution.slurm));
    const texts = new Map([
      ["prepare", () => prepareScript(context)],
      ["collect", () => collectScript(context)],
      ...arrays.map(
        (array) =>
          [array.name, () => arrayScript(context, array, minutesOf(array.seconds, limits.minutes))] as const,
      ),
    ]);
    for (const { script } of jobs)
      await writeFileAtomically(paths.script(script), (texts.get(script) as () => string)());
    await writeFileAtomically(paths.submitAll, submitAllScript(jobs, context));
    await writeSealedJson(paths.layout, {
      arrays: Object.fromEntries(arrays.map(({ name, tasks }) => [name, tasks])),
    });
    await refuseUnreadable(paths.setup, execution.slurm.setup);
    return context;
  }

  #describe(script: string, arrays: readonly ArrayJob[], limits: Limits): SubmittedJob {
    const array = arrays.find(({ name }) => name === script);
    const { memory, time } = this.study.execution.slurm;
    return {
      script,
      job: null,
      tasks: array?.tasks.length ?? null,
      cells: array?.tasks.flat().length ?? 0,
      memoryMegabytes: memory === null ? (array?.memoryMegabytes ?? null) : megabytesOfMemory(memory),
      minutes:
        time !== null
          ? minutesOfTime(time)
          : array === undefined
            ? null
            : minutesOf(array.seconds, limits.minutes),
      dependency: null,
    };
  }

  async #submit(jobs: readonly JobToSubmit[], context: ScriptContext) {
    const ids = new Map<string, string>();
    const submitted: Pick<SubmittedJob, "job" | "dependency">[] = [];
    for (const { script, after } of jobs) {
      const dependency = dependencyOption(withIds(after, ids));
      try {
        const id = await submitScript(context.paths.folder, script, dependency, this.study.execution.slurm);
        ids.set(script, id);
        submitted.push({ job: id, dependency });
      } catch (error) {
        const words = [...ids].map(([name, id]) => `${name} (${id})`).join(", ");
        throw new TransferLimitsError(
          "SLURM",
          `${messageOf(error)}. The script is ${context.paths.folder}/${script}.sh. ` +
            (ids.size === 0
              ? "Nothing was submitted"
              : `Submitted are ${words}; calling this again submits the rest`),
          { cause: error },
        );
      }
    }
    return submitted;
  }
}

/** The numbers of threads on which last bits depend must not be those of whichever machine prepares the study. */
async function withThreads(checked: CheckedStudy): Promise<CheckedStudy> {
  const { execution } = checked.study;
  const found = await readSealedJson<{ execution?: { threads?: unknown } }>(
    studyPaths(execution.output).resolved,
  );
  const before = found.state === "sound" ? found.value.execution?.threads : undefined;
  const threads =
    execution.threads ?? (typeof before === "number" ? before : null) ?? execution.slurm.cpus ?? usualThreads;
  return withExecution(checked, { threads });
}

const usualThreads = 4;
