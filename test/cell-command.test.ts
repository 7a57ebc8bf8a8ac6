import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { studyPaths } from "../dist/results/paths.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/load-study.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli, startCli } from "./cli-fixture.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

const pretraining = "profound--pretraining";
const fineTuned = "profound--lesion-segmentation--fine-tuned--seed1";
const specialised = "unet-3d--lesion-segmentation--specialised--seed1";

let folder: string;
beforeAll(async () => {
  process.env.TRANSFER_LIMITS_DEAD_AFTER = "3";
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-cell-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  await runStudy(studyOf("reference"), { jobs: 1 });
}, 300_000);
afterAll(() => {
  delete process.env.TRANSFER_LIMITS_DEAD_AFTER;
  return rm(folder, { recursive: true, force: true });
});

const studyOf = (output: string): StudyInput =>
  tinyStudy(folder, output, {
    tasks: ["lesion-segmentation"],
    comparators: ["fine-tuned", "specialised"],
    training: { epochs: 30, learningRate: 1e-3 },
  });
/** The study as a file, and its folder. */
async function studyFile(output: string): Promise<[path: string, output: string]> {
  const path = join(folder, `${output}.json`);
  await writeFile(path, JSON.stringify(studyOf(output)));
  return [path, join(folder, output)];
}
const prepared = async (output: string): Promise<string> => {
  await runStudy(studyOf(output), { only: "preparation" });
  return join(folder, output);
};
const numbersOf = async (output: string) => JSON.stringify(withoutCost(await readResults(output)));
const reference = () => numbersOf(join(folder, "reference"));

/** Starts a cell in a process of its own, and waits until it is some epochs along. */
async function begin(output: string, id: string, epoch = 2) {
  const started = startCli(["cell", output, id, "--json"]);
  await expect.poll(() => started.texts.stderr, { timeout: 60_000 }).toMatch(new RegExp(`epoch ${epoch}\\b`));
  return started;
}
const childOf = (pid: number): number => {
  for (const name of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      const text = readFileSync(`/proc/${name}/stat`, "utf8");
      if (Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[1]) === pid) return Number(name);
    } catch {
      // It ended in the meantime.
    }
  }
  throw new Error(`${pid} has no child`);
};

describe("cells worked on one by one", () => {
  it("from a prepared folder give the results of run, byte for byte but for costs", async () => {
    const [path, output] = await studyFile("one-by-one");
    const prepare = await cli("prepare", path, "--json");
    expect(prepare.status, prepare.stderr).toBe(0);
    const { cells } = JSON.parse(prepare.stdout) as { cells: { id: string; command: string }[] };
    expect(cells.map(({ id }) => id)).toEqual(planStudy(studyOf("x")).cells.map(({ id }) => id));
    expect((await readdir(join(output, "jobs"))).sort()).toEqual(cells.map(({ id }) => `${id}.json`).sort());
    expect(await readdir(join(output, "cells"))).toEqual([]);
    for (const { id, command } of cells) {
      expect(command).toMatch(new RegExp(` cell ${output} ${id}$`));
      const { status, stdout, stderr } = await cli("cell", output, id, "--json");
      expect(status, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ id, status: "done" });
    }
    const before = await stat(studyPaths(output).cell(specialised));
    const again = await cli("cell", output, specialised, "--json");
    expect(again.status).toBe(0);
    expect(again.stderr).not.toMatch(/epoch/);
    expect((await stat(studyPaths(output).cell(specialised))).ino).toBe(before.ino);

    const worked: StudyEvent[] = [];
    await runStudy(studyOf("one-by-one"), { onProgress: (event) => worked.push(event) });
    expect(worked.filter(({ kind }) => kind === "cell-started")).toEqual([]);
    expect(await numbersOf(output)).toBe(await reference());
  }, 300_000);

  it("are planned with what a scheduler of jobs needs to know", async () => {
    const [path, output] = await studyFile("planned");
    const { stdout } = await cli("plan", path, "--json");
    const cell = JSON.parse(stdout).cells.find(({ id }: { id: string }) => id === fineTuned);
    expect(cell).toMatchObject({ dependsOn: [pretraining], hours: expect.any(Number) });
    expect(cell.memoryBytes).toBeGreaterThan(1e6);
    expect(cell.command).toMatch(new RegExp(` cell ${output} ${fineTuned}$`));
  });

  it("are refused where the pretraining is not done, and say what to run first", async () => {
    const output = await prepared("not-ready");
    const { status, stdout } = await cli("cell", output, fineTuned, "--json");
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: "NOT_READY",
      message: `It starts from ${pretraining}, which is not finished. Run that first`,
    });
    expect(await readdir(join(output, "cells"))).toEqual([]);
  }, 60_000);

  it("are refused where the study has no such cell, the folder is not prepared, or the job is not what was written", async () => {
    const output = await prepared("refused");
    for (const id of ["nothing", "../refused", ""]) {
      const unknown = await cli("cell", output, id, "--json");
      expect(unknown.status).toBe(2);
      expect(JSON.parse(unknown.stdout).error.message).toContain(
        `Its cells are ${pretraining}, ${fineTuned}`,
      );
    }
    const nowhere = await cli("cell", join(folder, "nowhere"), pretraining, "--json");
    expect(nowhere.status).toBe(1);
    expect(JSON.parse(nowhere.stdout).error).toMatchObject({
      code: "NOT_READY",
      message: expect.stringMatching(
        /it has no study\.resolved\.json\. Prepare the study again: .* prepare STUDY/,
      ),
    });
    const path = studyPaths(output).job(specialised);
    await writeFile(path, (await readFile(path, "utf8")).replace('"threads": 1', '"threads": 2'));
    const damaged = await cli("cell", output, specialised, "--json");
    expect(damaged.status).toBe(1);
    expect(JSON.parse(damaged.stdout).error).toMatchObject({
      code: "BAD_FILE",
      message: expect.stringContaining("its checksum does not fit"),
    });
  }, 120_000);

  it("write their own failure where their process dies, and are done at the next try", async () => {
    const output = await prepared("dies");
    const { child, finished } = await begin(output, specialised);
    process.kill(childOf(child.pid as number), "SIGKILL");
    const { status, stdout } = await finished;
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ status: "failed", code: "WORKER_DIED" });
    const failure = JSON.parse(await readFile(studyPaths(output).failure(specialised), "utf8"));
    expect(failure).toMatchObject({
      id: specialised,
      code: "WORKER_DIED",
      reason: expect.stringContaining("was killed by SIGKILL"),
    });
    const again = await cli("cell", output, specialised, "--json");
    expect(again.status).toBe(0);
    expect(await readdir(join(output, "cells"))).toEqual([specialised]);
  }, 120_000);
});

describe("a cell that somebody works on", () => {
  it("is left to them, by name", async () => {
    const output = await prepared("busy");
    const first = await begin(output, specialised, 1);
    const second = await cli("cell", output, specialised, "--json");
    expect(second.status).toBe(1);
    const worker = childOf(first.child.pid as number);
    expect(JSON.parse(second.stdout).error).toMatchObject({
      code: "BUSY",
      message: `Process ${worker} already works on ${specialised} in ${output}.`,
    });
    first.child.kill("SIGKILL");
    await first.finished;
  }, 120_000);

  it("is taken over once they are frozen for too long, who then write nothing", async () => {
    const output = await prepared("frozen");
    const first = await begin(output, specialised);
    const worker = childOf(first.child.pid as number);
    process.kill(worker, "SIGSTOP");
    const second = await cli("cell", output, specialised, "--json");
    expect(second.status, second.stderr).toBe(0);
    const before = await stat(studyPaths(output).cell(specialised));
    process.kill(worker, "SIGCONT");
    const { status, stdout } = await first.finished;
    expect(status).toBe(1);
    expect(JSON.parse(stdout).error.code).toBe("BUSY");
    expect((await stat(studyPaths(output).cell(specialised))).ino).toBe(before.ino);
    expect(await readdir(join(output, "cells"))).toEqual([specialised]);
    await runStudy(studyOf("frozen"));
    expect(await numbersOf(output)).toBe(await reference());
  }, 120_000);

  it("is waited for by run, which does the others meanwhile and picks up its result", async () => {
    const output = await prepared("beside");
    const first = await begin(output, specialised, 1);
    const events: StudyEvent[] = [];
    const results = await runStudy(studyOf("beside"), { jobs: 1, onProgress: (event) => events.push(event) });
    expect((await first.finished).status).toBe(0);
    expect(results.complete).toBe(true);
    const about = events.flatMap((event) =>
      event.kind.startsWith("cell-") && "cell" in event ? [`${event.kind} ${event.cell.id}`] : [],
    );
    expect(about).toContain(`cell-elsewhere ${specialised}`);
    expect(about).not.toContain(`cell-started ${specialised}`);
    expect(about).toContain(`cell-done ${specialised}`);
    expect(await numbersOf(output)).toBe(await reference());
  }, 120_000);

  it("is done by run where they are killed, from their last epoch on", async () => {
    const output = await prepared("killed");
    const first = await begin(output, specialised);
    let startEpoch = 0;
    const results = await runStudy(studyOf("killed"), {
      jobs: 1,
      onProgress: (event) => {
        if (event.kind === "cell-elsewhere") first.child.kill("SIGKILL");
        if (event.kind === "cell-started" && event.cell.id === specialised) startEpoch = event.startEpoch;
      },
    });
    expect(results.complete).toBe(true);
    expect(startEpoch).toBeGreaterThan(1);
    expect(await numbersOf(output)).toBe(await reference());
  }, 120_000);
});
