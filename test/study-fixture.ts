import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import type { StudyEvent } from "../dist/common/progress.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";

/** A study of seconds: an encoder of a few thousand parameters on six phantoms of 32 x 32 x 16 voxels. */
export const tinyStudy = (folder: string, output: string, changes: Partial<StudyInput> = {}): StudyInput => ({
  name: "tiny",
  cohort: { manifest: join(folder, "cohort", "manifest.csv"), voxels: [32, 32, 16] },
  split: { train: 3, validation: 1, test: 2 },
  models: [
    {
      name: "profound",
      encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] },
      pretrain: { epochs: 3, batchSize: 2, learningRate: 1e-3, decoderDim: 8 },
      decoder: { kind: "upernet", hidden: 8, auxiliary: 4 },
      denoiser: { kind: "unetr", featureSize: 4 },
      subpixel: { featureSize: 4 },
    },
  ],
  tasks: ["lesion-segmentation", "super-resolution"],
  specialised: {
    "lesion-segmentation": { family: "unet-3d", features: 4, levels: 3 },
    "super-resolution": { family: "unet-3d", features: 4, levels: 3 },
  },
  untrainedHead: "random", // cells that train nothing are done at once
  training: { epochs: 2, learningRate: 1e-3 },
  ...changes,
  execution: {
    jobs: 2,
    threads: 1,
    cache: join(folder, "cache"),
    output: join(folder, output),
    ...changes.execution,
  },
});

/** The same, for what a study computes, whichever process does: its cells share processes, which start for far longer than they work. */
export const quickStudy = (folder: string, output: string, changes: Partial<StudyInput> = {}): StudyInput =>
  tinyStudy(folder, output, {
    ...changes,
    execution: { cellsPerProcess: 100, ...changes.execution },
  });

/** What two runs of one study must have in common: everything but times and memory. */
export const withoutCost = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (key, entry) => (key === "cost" ? undefined : entry)));

/** What `results.json` says, without its checksum. */
export async function readResults(output: string): Promise<StudyResults> {
  const { checksum, ...results } = JSON.parse(await readFile(join(output, "results.json"), "utf8"));
  expect(checksum).toMatch(/^[0-9a-f]{64}$/);
  return results as StudyResults;
}

/** Runs a study in a process group of its own, so that it can be killed with all its workers. */
export function spawnStudy(
  study: StudyInput,
  onEvent: (event: StudyEvent, kill: () => void) => void,
  environment: NodeJS.ProcessEnv = {},
) {
  const program = `
    const { runStudy } = await import(${JSON.stringify(new URL("../dist/study/run/run.js", import.meta.url).href)});
    const onProgress = (event) => process.stdout.write(JSON.stringify(event) + "\\n");
    await runStudy(JSON.parse(process.argv[1]), { onProgress });
  `;
  const child: ChildProcess = spawn(
    process.execPath,
    ["--input-type=module", "-e", program, JSON.stringify(study)],
    {
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      env: { ...process.env, ...environment },
    },
  );
  const kill = () => process.kill(-(child.pid as number), "SIGKILL");
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) =>
    onEvent(JSON.parse(line) as StudyEvent, kill),
  );
  return once(child, "close").then(
    ([code, signal]) => ({ code, signal }) as { code: number | null; signal: string | null },
  );
}

/** The processes that this one started and that run a program of the package. */
export function children(program: string): { pid: number; command: string }[] {
  const found: { pid: number; command: string }[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      if (parent === process.pid && command.includes(program)) found.push({ pid: Number(pid), command });
    } catch {
      // It ended in the meantime.
    }
  }
  return found;
}

/** The worker processes of this process. */
export const workers = () => children("study/run/worker.js");

/** Kills the workers of this process, or the one that works on a cell, as an operator or the system does. */
export function killWorkers(cell = ""): void {
  for (const { pid, command } of workers()) {
    if (!command.includes(cell)) continue;
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended in the meantime.
    }
  }
}
