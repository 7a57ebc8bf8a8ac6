import { mkdtempSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { writePhantomCohort } from "../dist/index.js";
import { startCli } from "./cli-fixture.js";
import { tinyStudy } from "./study-fixture.js";

const preload = new URL("count-reads.mjs", import.meta.url).href;

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-read-once-"));
  for (const [name, seed] of [
    ["own", 1],
    ["other", 2],
  ] as const) {
    await writePhantomCohort(join(folder, name), { cases: 6, seed, voxels: [16, 16, 16] });
    renameSync(join(folder, name, "manifest.csv"), join(folder, name, `${name}.manifest.csv`));
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** What a command did: how often it opened each manifest, and laid out a study's cells; how many manifests its workers parsed. */
interface Seen {
  reads: Record<string, number>;
  layouts: number;
  workers: number;
  parsedByWorkers: number;
}

/** Runs a command, and counts what it opened, and by V8's own count of calls what it and its workers did. */
async function seenIn(...args: string[]): Promise<Seen> {
  const counts = mkdtempSync(join(folder, "counts-"));
  const environment = { NODE_OPTIONS: `--import ${preload}`, READS: counts, NODE_V8_COVERAGE: counts };
  const { child, finished } = startCli(args, { ...process.env, ...environment });
  const { status, stderr } = await finished;
  expect(`${status} ${stderr}`).toMatch(/^0 /);
  const read = (name: string) => JSON.parse(readFileSync(join(counts, name), "utf8"));
  const processes = readdirSync(counts)
    .filter((name) => name.startsWith("coverage-"))
    .map((name) => ({
      pid: Number(name.split("-")[1]),
      calls: callsIn((read(name) as { result: Script[] }).result),
    }));
  const workers = processes.filter(({ calls }) => calls("study/run/worker.js", "") > 0);
  const main = processes.find(({ pid }) => pid === child.pid);
  return {
    reads: read(`${child.pid}.json`),
    layouts: main?.calls("study/plan/plan.js", "planStudy") ?? 0,
    workers: workers.length,
    parsedByWorkers: workers.reduce(
      (sum, { calls }) => sum + calls("cohort/manifest.js", "parseManifest"),
      0,
    ),
  };
}

interface Script {
  url: string;
  functions: { functionName: string; ranges: { count: number }[] }[];
}

/** How often a process called a function of a file; the file itself is the function without a name. */
const callsIn =
  (scripts: readonly Script[]) =>
  (file: string, name: string): number =>
    scripts
      .find(({ url }) => url.endsWith(`/dist/${file}`))
      ?.functions.find(({ functionName }) => functionName === name)?.ranges[0]?.count ?? 0;

/** Two tasks with two cohorts, one of which an encoder is pretrained on too; each seed divides the patients anew. */
function writeStudy(output: string): string {
  const path = join(folder, `${output}.yaml`);
  const [own, other] = ["own", "other"].map((name) => join(folder, name, `${name}.manifest.csv`));
  const { models = [], ...study } = tinyStudy(folder, output, {
    cohort: { manifest: own as string, voxels: [16, 16, 16] },
    tasks: [
      "lesion-segmentation",
      {
        kind: "super-resolution",
        cohort: { manifest: other as string, split: { train: 3, validation: 1, test: 2 } },
      },
    ],
    seeds: { count: 2, vary: ["weights", "order", "split", "pretraining"] },
    comparators: ["random-weights"],
  });
  const pretrained = models.map((model) => ({
    ...model,
    pretrain: { epochs: 1, decoderDim: 8, manifest: other },
  }));
  writeFileSync(path, stringify({ ...study, models: pretrained }));
  return path;
}

const once = { "own.manifest.csv": 1, "other.manifest.csv": 1 };

describe("A manifest is read once, and the cells are laid out once,", () => {
  it("by run, which checks, divides, prepares and gathers; its workers read none", async () => {
    const path = writeStudy("run");
    const { workers, ...seen } = await seenIn("run", path);
    expect(seen).toEqual({ reads: once, layouts: 1, parsedByWorkers: 0 });
    expect(workers).toBeGreaterThan(0);
    // What is there is looked at by what the cohort is now.
    for (const command of ["plan", "run"])
      expect(await seenIn(command, path)).toMatchObject({ reads: once, layouts: 1, workers: 0 });
  }, 120_000);

  it.each(["plan", "prepare", "check"])("by %s", async (command) => {
    const path = writeStudy(command);
    expect(await seenIn(command, path)).toMatchObject({ reads: once, layouts: 1 });
  });

  it("by plan of a preset that looks into manifests for its tasks, or whether they are two", async () => {
    const own = join(folder, "own", "own.manifest.csv");
    const other = join(folder, "other", "other.manifest.csv");
    const execution = { output: join(folder, "preset") };
    const split = { train: 3, validation: 1, test: 2 };
    const tasks = join(folder, "tasks.yaml");
    writeFileSync(tasks, stringify({ preset: "profound-tasks", manifest: own, split, execution }));
    expect(await seenIn("plan", tasks)).toMatchObject({ reads: { "own.manifest.csv": 1 }, layouts: 1 });
    const paper = join(folder, "paper.yaml");
    const manifests = { promis: own, fewShot: other };
    writeFileSync(paper, stringify({ preset: "paper", manifests, split, fewShotSplit: split, execution }));
    expect(await seenIn("plan", paper)).toMatchObject({ reads: once, layouts: 1 });
  });

  it("by pretrain of a manifest, whose cases are counted before it is checked", async () => {
    const path = join(folder, "other", "other.manifest.csv");
    const size = ["--voxels", "16x16x16", "--epochs", "1", "--batch-size", "2"];
    const out = ["--encoder", "profound-demo", "--out", join(folder, "encoder")];
    expect(await seenIn("pretrain", path, ...size, ...out)).toMatchObject({
      reads: { "other.manifest.csv": 1 },
      layouts: 1,
    });
  });
});
