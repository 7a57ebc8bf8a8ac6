import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { readAttempts } from "../dist/slurm/attempts.js";
import { statusOf } from "../dist/slurm/status.js";
import { readFailure } from "../dist/study/cell/cell-folder.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli, startCli } from "./cli-fixture.js";
import { tinyStudy } from "./study-fixture.js";

const specialised = "unet-3d--lesion-segmentation--specialised--seed1";
const trivial = "mean-mask--lesion-segmentation--trivial";
const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-task-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const studyOf = (output: string): StudyInput =>
  tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["specialised"],
    training: { epochs: 40, learningRate: 1e-3 },
  });
const prepared = async (output: string): Promise<string> => {
  await runStudy(studyOf(output), { only: "preparation" });
  return join(folder, output);
};

/** Starts a task of Slurm as its script does, in no job, with a log of its own. */
function startTask(output: string, log: string, ...ids: string[]) {
  const file = openSync(log, "a");
  const environment = { ...process.env, TRANSFER_LIMITS_DEAD_AFTER: "3" };
  const child = spawn(process.execPath, [main, "cell", output, ...ids, "--slurm"], {
    stdio: ["ignore", file, file],
    env: environment,
  });
  return { child, ended: once(child, "close").then(([code, signal]) => ({ code, signal })) };
}
const until = (what: () => unknown) => expect.poll(what, { timeout: 120_000, interval: 50 }).toBeTruthy();
const textOf = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");

describe("A task of Slurm", () => {
  it("works on its cells one after the other, and not again on what is done", async () => {
    const output = await prepared("packed");
    const { status, stdout } = await cli("cell", output, trivial, specialised, "--slurm", "--json");
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      cells: [
        { id: trivial, status: "done" },
        { id: specialised, status: "done" },
      ],
      left: [],
      requeued: false,
    });
    expect(await readdir(join(output, "cells"))).toEqual(expect.arrayContaining([trivial, specialised]));
    const again = await cli("cell", output, trivial, specialised, "--slurm", "--json");
    expect(again.stderr).not.toMatch(/epoch|started/);
    expect(JSON.parse(again.stdout).cells).toEqual([
      { id: trivial, status: "done", seconds: 0 },
      { id: specialised, status: "done", seconds: 0 },
    ]);
    const status_ = await statusOf(output);
    expect(status_.cells.map(({ state, job }) => [state, job])).toEqual([
      ["done", null],
      ["done", null],
    ]);
    expect(status_.notAsked).toBe("Nothing was submitted to Slurm");
  });

  it.each(["SIGUSR1", "SIGTERM"] as const)(
    "stops at %s with the cell's state on disk, and goes on from there",
    async (signal) => {
      const output = await prepared(`stopped-by-${signal}`);
      const log = join(folder, `${signal}.log`);
      const first = startTask(output, log, specialised, trivial);
      await until(() => /epoch 3 of/.test(textOf(log)));
      first.child.kill(signal);
      expect(await first.ended).toEqual({ code: 1, signal: null });
      expect(textOf(log)).toContain(`${trivial} is left`);
      expect(await readFailure(output, specialised)).toBeNull();
      const next = startTask(output, join(folder, `${signal}-2.log`), specialised, trivial);
      expect(await next.ended).toEqual({ code: 0, signal: null });
      const began = /epoch (\d+) of/.exec(textOf(join(folder, `${signal}-2.log`)))?.[1];
      const stoppedAfter = [...textOf(log).matchAll(/epoch (\d+) of/g)].at(-1)?.[1];
      // At most one epoch is computed again.
      expect(Number(began)).toBeGreaterThanOrEqual(Number(stoppedAfter));
    },
  );

  it("fails a cell that died three times at one place with all of the task, with the end of its log", async () => {
    const output = await prepared("dies");
    const log = join(folder, "dies.log");
    for (const death of [1, 2, 3]) {
      const { child, ended } = startTask(output, log, specialised);
      await until(async () => (await readAttempts(output, specialised))?.job === String(child.pid));
      child.kill("SIGKILL");
      await ended;
      expect(await readFailure(output, specialised), `death ${death}`).toBeNull();
    }
    const last = startTask(output, log, specialised);
    expect(await last.ended).toEqual({ code: 1, signal: null });
    const failure = await readFailure(output, specialised);
    expect(failure).toMatchObject({ code: "WORKER_DIED" });
    expect(failure?.reason).toMatch(/^It died 3 times before its first epoch was over\. The end of its log/);
    expect(failure?.reason).toContain("dies.log");
    expect((await statusOf(output)).cells.find(({ id }) => id === specialised)?.state).toBe("failed");
    // The next submission starts it afresh.
    const { status } = await startCli(["cell", output, specialised, "--slurm"]).finished;
    expect(status).toBe(0);
  });
});
