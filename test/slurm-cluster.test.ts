import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/load-study.js";
import { LoopbackSlurm, reasonAgainst } from "../scripts/loopback-slurm.mjs";
import { type Finished, startCli } from "./cli-fixture.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

// It takes the whole machine for minutes, so that beside other tests neither they nor it would keep their times.
const against =
  process.env.TRANSFER_LIMITS_TEST_SLURM === undefined
    ? "it runs by itself, where TRANSFER_LIMITS_TEST_SLURM is set"
    : reasonAgainst();
const title = against === null ? "" : ` (skipped: ${against})`;

/** What a scheduler, an administrator and bad luck do to a study, on a real Slurm of this machine. */
describe.skipIf(against !== null)(`A study of 42 cells on Slurm${title}`, () => {
  let folder: string;
  let slurm: LoopbackSlurm;
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "transfer-limits-slurm-"));
    slurm = new LoopbackSlurm(join(folder, "slurm"), { port: 17_000 + (process.pid % 500) * 2 });
    // What has used up its time is warned, and not ended before this test has seen that, however busy the machine is.
    await slurm.start({ more: ["OverTimeLimit=20"] });
    environment = { ...slurm.environment, PATH: `${countedPrograms(folder)}:${process.env.PATH}` };
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [16, 16, 16] });
  });
  afterAll(async () => {
    await slurm?.stop();
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });

  const studyOf = (output: string): StudyInput =>
    tinyStudy(folder, output, {
      tasks: ["super-resolution"],
      seeds: [1, 2, 3, 4, 5, 6, 7, 8],
      comparators: ["fine-tuned", "pretrained", "random-weights", "from-scratch", "specialised"],
      training: { epochs: 4, learningRate: 1e-3 },
      cohort: { manifest: join(folder, "cohort", "manifest.csv"), voxels: [16, 16, 16] },
      execution: {
        threads: 1,
        slurm: {
          memory: "1G",
          setup: ["export FROM_SETUP=1"],
          options: ['--comment=he said "it\'s" \\ # 50 % $HOME'],
        },
      },
    });
  const fileOf = (output: string): string => {
    const path = join(folder, `${output}.json`);
    writeFileSync(path, JSON.stringify(studyOf(output)));
    return path;
  };
  const call = async (...words: string[]): Promise<Finished> => startCli(words, environment).finished;
  const json = async (...words: string[]) => {
    const { status, stdout, stderr } = await call(...words, "--json");
    expect(status, stderr + stdout).toBe(0);
    return JSON.parse(stdout);
  };
  /** Asks Slurm without being counted. */
  const ask = (program: string, ...words: string[]): string =>
    execFileSync(`/usr/bin/${program}`, words, { env: slurm.environment, encoding: "utf8" });
  const isRunning = (task: string): boolean =>
    ask("squeue", "--noheader", "--states=RUNNING", "--format=%i", `--jobs=${task}`).trim() === task;
  /** Whole minutes that a task has run. */
  const minutesRun = (task: string): number => {
    const [, minutes = 0, hours = 0] = ask("squeue", "--noheader", "--format=%M", `--jobs=${task}`)
      .trim()
      .split(":")
      .map(Number)
      .reverse();
    return 60 * hours + minutes;
  };
  const stateOfNode = (): string => ask("sinfo", "--noheader", "--format=%T").trim();
  const until = (what: () => unknown, seconds = 1800) =>
    expect.poll(what, { timeout: seconds * 1000, interval: 200 }).toBeTruthy();
  /** The worker of a task, stopped while its cell still is to be finished. */
  const frozenWorker = async (task: string): Promise<number> => {
    let found = 0;
    await until(() => {
      const worker = workerOf(task);
      if (worker === null || !signalled(worker.pid, "SIGSTOP")) return false;
      if (!existsSync(join(folder, "out", "cells", worker.cell))) {
        found = worker.pid;
        return true;
      }
      signalled(worker.pid, "SIGCONT");
      return false;
    });
    return found;
  };

  it("is done as run --jobs 1 does it, though tasks are requeued, run out of time and are cancelled, workers and Slurm's daemon killed", async () => {
    const reference = startCli(["run", fileOf("reference"), "--jobs", "1", "--json"], process.env).finished;
    const path = fileOf("out");
    const output = join(folder, "out");

    // Nothing starts before it was submitted twice.
    const node = ask("sinfo", "--noheader", "--format=%n").trim();
    ask("scontrol", "update", `NodeName=${node}`, "State=DRAIN", "Reason=test");
    const first = await json("run", path, "--slurm");
    const job = (script: string): string =>
      first.jobs.find((one: { script: string }) => one.script === script).job;
    expect(first.jobs.map((one: { script: string }) => one.script)).toEqual([
      ...["prepare", "pretraining-1", "cells-1", "cells-2", "collect"],
    ]);
    const cells = planStudy(studyOf("out")).cells.length;
    expect(cells).toBe(42);
    expect(first.jobs.reduce((sum: number, one: { cells: number }) => sum + one.cells, 0)).toBe(cells);
    // 25 cells of an estimated minute and more, packed to a quarter of an hour, and 16.
    expect(first.jobs.map((one: { tasks: number }) => one.tasks)).toEqual([null, 1, 2, 2, null]);
    expect(callsOf(folder, "sbatch")).toHaveLength(first.jobs.length);
    expect(ask("squeue", "--noheader", "--format=%k", `--jobs=${job("cells-1")}`).trim()).toBe(
      'he said "it\'s" \\ # 50 % $HOME',
    );

    // What waits or runs is not submitted again.
    const again = await json("run", path, "--slurm");
    expect(again).toMatchObject({ folder: null, jobs: [], underWay: cells });
    expect(callsOf(folder, "sbatch")).toHaveLength(first.jobs.length);

    ask("scontrol", "update", `NodeName=${node}`, "State=RESUME");

    // A task is put back into the queue, as by preemption.
    const [one, other] = [`${job("cells-1")}_0`, `${job("cells-1")}_1`];
    const third = `${job("cells-2")}_0`;
    await until(() => workerOf(one) !== null);
    ask("scontrol", "requeue", one);

    // Another is held at one of its first cells until its turn comes below.
    const held = await frozenWorker(other);

    // The worker of a third is killed.
    process.kill(await frozenWorker(third), "SIGKILL");
    await until(() => /died after epoch \d+, and is tried again/.test(logOf(output, "cells-2.0")));

    // The daemon of the node is killed, and its tasks run on.
    const daemon = slurm.pidOf("slurmd") as number;
    process.kill(daemon, "SIGKILL");
    await until(() => slurm.pidOf("slurmd") === null);
    slurm.startNode();
    const midway = await json("status", output);
    expect(midway.notAsked).toBeNull();
    expect(midway.counts).toMatchObject({ failed: 0, pending: 0 });
    expect(isRunning(other)).toBe(true);
    await until(() => slurm.pidOf("slurmd") !== null && /^(idle|mixed|allocated)$/.test(stateOfNode()));

    // The one that is held hears that its time is nearly over, and puts itself back.
    ask("scontrol", "update", `JobId=${other}`, `TimeLimit=${minutesRun(other) + 2}`);
    await until(() => /time of this task is nearly over/.test(logOf(output, "cells-1.1")));
    ask("scontrol", "update", `JobId=${other}`, "TimeLimit=30");
    process.kill(held, "SIGCONT");
    await until(() => /goes back into the queue/.test(logOf(output, "cells-1.1")));

    // All is cancelled while it runs for the second time, and what is missing is submitted again.
    await until(() => workerOf(other, 1) !== null);
    await json("cancel", output);
    const after = await json("run", path, "--slurm");
    expect(after.jobs.map((one: { script: string }) => one.script)).not.toContain("prepare");
    expect(after.underWay).toBe(0);
    expect(after.jobs.reduce((sum: number, one: { cells: number }) => sum + one.cells, 0)).toBe(
      cells - after.done,
    );
    expect(callsOf(folder, "sbatch")).toHaveLength(first.jobs.length + after.jobs.length);

    await until(() => ask("squeue", "--noheader").trim() === "");
    expect(existsSync(join(output, "report.html")), logOf(output, "collect", 2)).toBe(true);
    expect((await reference).status).toBe(0);
    const [here, there] = [await readResults(join(folder, "reference")), await readResults(output)];
    expect(JSON.stringify(withoutCost(there))).toBe(JSON.stringify(withoutCost(here)));

    // Each cell was finished once; of epochs, at most one was computed again for each time that a cell was stopped.
    const lines = [1, 2].flatMap((number) => linesOf(output, number));
    const done = lines
      .filter((line) => / · .*: done in /.test(line))
      .map((line) => line.replace(/: done in .*/, ""));
    expect(done).toHaveLength(cells);
    expect(new Set(done).size).toBe(cells);
    const epochs = lines.flatMap((line) => /^.* · .*: epoch \d+ /.exec(line)?.[0] ?? []);
    const lost = epochs.length - new Set(epochs).size;
    // Slurm ended one to requeue it, and those that were cancelled; one ran out of its time; one worker was killed.
    const ended = lines.filter((line) => line.startsWith("This task is being ended")).length;
    expect(ended).toBeGreaterThanOrEqual(2);
    expect(lost).toBeLessThanOrEqual(ended + 2);
    // Limits are read once by two questions, the queue once a command, and once by each task that Slurm ended.
    const questions = callsOf(folder, "squeue").length + callsOf(folder, "scontrol show").length;
    expect(questions).toBeLessThanOrEqual(2 + 4 + ended);
    console.log(JSON.stringify({ cells, lost, ended, questions, sbatch: callsOf(folder, "sbatch").length }));

    const last = await json("run", path, "--slurm");
    expect(last).toMatchObject({ folder: null, jobs: [], done: cells });
    const bare = startCli(["status", output, "--json"], { ...process.env, PATH: "/nowhere" });
    const known = JSON.parse((await bare.finished).stdout);
    expect(known.counts).toMatchObject({ done: cells });
    expect(known.notAsked).toContain("There is no squeue");
  }, 7_200_000);
});

/** Programs that note how they were called, and then are those of Slurm. */
function countedPrograms(folder: string): string {
  const programs = join(folder, "programs");
  mkdirSync(programs);
  for (const name of ["sbatch", "squeue", "scontrol", "scancel"])
    writeFileSync(
      join(programs, name),
      `#!/bin/sh\necho "${name} $*" >> ${join(folder, "calls")}\nexec /usr/bin/${name} "$@"\n`,
      { mode: 0o755 },
    );
  return programs;
}

const callsOf = (folder: string, beginning: string): string[] =>
  readFileSync(join(folder, "calls"), "utf8")
    .split("\n")
    .filter((line) => line.startsWith(`${beginning} `));

function logOf(output: string, name: string, submission = 1): string {
  const path = join(output, "slurm", String(submission), "logs", `${name}.log`);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** The lines of the logs of a submission's cells. */
function linesOf(output: string, submission: number): string[] {
  const logs = join(output, "slurm", String(submission), "logs");
  return readdirSync(logs)
    .filter((name) => /^(cells|pretraining)-/.test(name))
    .flatMap((name) => readFileSync(join(logs, name), "utf8").split("\n"));
}

/** Sends a process a signal; false where it has ended in the meantime. */
function signalled(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/**
 * The process that works on a cell in a task of Slurm; null where none does.
 *
 * @param restarts so many times the task was put back into the queue before
 */
function workerOf(task: string, restarts = 0): { pid: number; cell: string } | null {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name)))
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      const [, cell] = /^transfer-limits study\/run\/worker\.js ([^\s\0]+--[^\s\0]+)/.exec(command) ?? [];
      if (cell === undefined) continue;
      const variables = readFileSync(`/proc/${pid}/environ`, "utf8");
      const of = (name: string) => new RegExp(`(?:^|\\0)${name}=(\\d+)`).exec(variables)?.[1];
      const isOfTask = `${of("SLURM_ARRAY_JOB_ID")}_${of("SLURM_ARRAY_TASK_ID")}` === task;
      if (isOfTask && Number(of("SLURM_RESTART_COUNT") ?? 0) === restarts) return { pid: Number(pid), cell };
    } catch {
      // It ended in the meantime.
    }
  return null;
}
