import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { addonFile } from "../dist/native/load-addon.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeReport } from "../dist/report/index.js";
import { summarise } from "../dist/report/report-summary.js";
import { timeTaken } from "../dist/report/sections/cost.js";
import type { CellResult } from "../dist/results/cell.js";
import type { Session, StudyResults } from "../dist/results/study.js";
import { runStudy } from "../dist/study/run/run.js";
import { studyResults } from "./report-fixture.js";
import { readResults, tinyStudy } from "./study-fixture.js";

let folder: string;
let results: StudyResults;
let began: number;
let seconds: number;
const study = () =>
  tinyStudy(folder, "results", {
    tasks: ["super-resolution"],
    comparators: ["pretrained", "random-weights"],
  });

beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-sessions-"));
  await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
  began = Date.now();
  results = await runStudy(study());
  seconds = (Date.now() - began) / 1000;
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

const session = (): Session => results.cost?.sessions[0] as Session;

describe("what a study records of its own run", () => {
  it("is when it really started and ended, and the time in between", () => {
    expect(Date.parse(session().started)).toBeGreaterThanOrEqual(began);
    expect(Date.parse(session().ended)).toBeLessThanOrEqual(began + seconds * 1000);
    expect(session().seconds).toBeLessThanOrEqual(seconds + 0.01);
    expect(session().seconds).toBeGreaterThan(seconds / 2);
  });

  it("is the machine that it ran on", () => {
    expect(session().machine).toEqual({
      cpu: cpus()[0]?.model.trim() || "unknown",
      cores: cpus().length,
      memoryBytes: totalmem(),
      system: execFileSync("uname", ["-srm"], { encoding: "utf8" }).trim(),
    });
    expect([session().threads, session().jobs, session().devices]).toEqual([1, 2, ["cpu"]]);
  });

  it("is the build that computed it, by version and by the hash of its binary", async () => {
    const file = addonFile();
    const hash = execFileSync("sha256sum", [file], { encoding: "utf8" }).split(" ")[0];
    const manifest = fileURLToPath(new URL("../package.json", import.meta.url));
    const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
    expect(session().build).toMatchObject({ package: version, addon: hash, node: process.version });
    expect(session().build.libtorch).toBe(results.software.libtorch);
  });

  it("is not added to when it is run again with nothing left to do", async () => {
    expect((await runStudy(study())).cost?.sessions).toEqual(
      JSON.parse(await readFile(join(folder, "results", "sessions.json"), "utf8")).sessions,
    );
    expect((await runStudy(study())).cost?.sessions).toHaveLength(1);
  });

  it("stands in the report, which takes nothing from the machine that writes it", async () => {
    const path = join(folder, "results", "results.json");
    const elsewhere = await readResults(join(folder, "results"));
    const one = elsewhere.cost?.sessions[0] as Session;
    one.started = "2031-02-03T04:05:06.000Z";
    one.machine = { cpu: "Another CPU", cores: 96, memoryBytes: 2 ** 37, system: "Plan9 4 riscv64" };
    one.build.addon = "ab".repeat(32);
    await writeFile(path, JSON.stringify(elsewhere));
    const html = await readFile(await writeReport(join(folder, "results")), "utf8");
    for (const words of [
      "3 February 2031, 04:05 UTC",
      "Another CPU, 96 cores",
      "128.0 GiB",
      "Plan9 4 riscv64",
      "ab".repeat(32),
      session().build.libtorch,
      "1 a cell, 2 cells side by side",
    ])
      expect(html).toContain(words);
    expect(html).not.toContain(session().build.addon);
  });
});

describe("the time that a study took, in words", () => {
  /** Of so many cells that took an hour each. */
  const said = (cells: number, sessions: Partial<Session>[] | null): string => {
    const { cells: all, ...rest } = studyResults();
    const results: StudyResults = {
      ...rest,
      cells: all.slice(0, cells).map(({ result, ...cell }) => {
        const { cost, ...known } = result as CellResult;
        return { ...cell, result: { ...known, cost: { ...cost, wallSeconds: 3600 } } };
      }),
      pretraining: [],
      ...(sessions === null ? {} : { cost: { sessions: sessions as Session[] } }),
    };
    return timeTaken(results, summarise(results));
  };

  it("keeps apart the study's wall time and what its cells' times add up to", () => {
    expect(said(2, [{ seconds: 3660, jobs: 2 }])).toBe(
      "The study took 1\u00a0h 01\u00a0min of wall time, preparation and failed cells included; the times of its cells and of " +
        "pretraining add up to 2\u00a0h 00\u00a0min on cpu, with 2 threads a cell. Up to 2 cells ran side by side, so the " +
        "times of cells overlap.",
    );
  });

  it("adds up sessions, not what lies between them", () => {
    const text = said(1, [
      { seconds: 60, jobs: 1 },
      { seconds: 90, jobs: 1 },
    ]);
    expect(text).toContain("The study took 2\u00a0min 30\u00a0s of wall time, in 2 sessions");
    expect(text).not.toContain("side by side");
  });

  it("claims no wall time that was not recorded", () => {
    const text = said(2, null);
    expect(text).toMatch(/^The times of the cells .* add up to 2\u00a0h 00\u00a0min .* was not recorded\.$/);
  });
});
