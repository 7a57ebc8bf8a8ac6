import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { BenchCase } from "../case.js";
import { timingOf } from "../timing.js";
import type { MemoryAnswer } from "./mmd-memory-process.js";

const execute = promisify(execFile);
const program = fileURLToPath(new URL("./mmd-memory-process.js", import.meta.url));

/** The memory that MMD² takes beyond its inputs. In a process of its own, whose peak nothing else has raised. */
export const mmdMemory: BenchCase = {
  name: "mmd-memory",
  summary: "memory of MMD² beyond its inputs, 50,000 and 50,000 rows of 768 features (minutes)",
  onDemand: true,
  measure: async (settings) => {
    const [rows, features] = settings.quick ? [2000, 64] : [50_000, 768];
    settings.say(`mmd-memory: one run`);
    const { stdout } = await execute(
      process.execPath,
      [program, String(rows), String(features), String(settings.threads), settings.device],
      { ...(settings.signal && { signal: settings.signal }) },
    );
    const { seconds, extraBytes } = JSON.parse(stdout) as MemoryAnswer;
    return {
      name: "mmd-memory",
      title: `MMD², N = M = ${rows.toLocaleString("en")}, d = ${features}`,
      ours: timingOf([seconds]),
      comparisons: [],
      figures: [
        { what: "memory beyond the inputs", value: extraBytes / 1e6, unit: "MB", target: "under 64 MB" },
      ],
      error: null,
      tolerance: null,
      floor: { operations: 4 * rows * rows * features, bytes: 2 * 4 * rows * features },
      versions: {},
    };
  },
};
