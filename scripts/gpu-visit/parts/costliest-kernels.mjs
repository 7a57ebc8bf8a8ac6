// Nsight Compute: what all kernels of a training step take, then the three costliest in detail.

import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { files, needsGpu, needsTools, reasonOf } from "../visit.mjs";

/** Of the columns that Nsight Compute has, those that say how near a kernel is to what the device can do. */
const wanted = [
  "Duration",
  "Compute (SM) Throughput",
  "Memory Throughput",
  "DRAM Throughput",
  "Achieved Occupancy",
  "Registers Per Thread",
];

export const costliestKernels = {
  name: "costliest kernels",
  seconds: 90,
  leastSeconds: 25,
  wants: (visit) => needsGpu(visit) ?? needsTools("ncu")(visit),
  async run(part) {
    const all = await profile(part, ["--metrics", "gpu__time_duration.sum", "--page", "raw"], 60);
    const kernels = byTime(all);
    if (kernels.length === 0) throw new Error("Nsight Compute saw no kernel");
    const total = kernels.reduce((sum, { time }) => sum + time, 0);
    for (const { name, time, launches } of kernels.slice(0, 3)) {
      const sections = ["SpeedOfLight", "Occupancy", "LaunchStats"].flatMap((section) => [
        "--section",
        section,
      ]);
      const chosen = [
        "--kernel-name",
        `regex:^${escaped(name)}$`,
        "--launch-skip",
        String(launches >> 1),
        "--launch-count",
        "1",
      ];
      const rows = await profile(part, [...sections, ...chosen, "--page", "details"], 40);
      const metrics = Object.fromEntries(
        rows
          .filter((row) => wanted.includes(row["Metric Name"]))
          .map((row) => [row["Metric Name"], `${row["Metric Value"]} ${row["Metric Unit"]}`.trim()]),
      );
      part.record("kernel", { what: name, share: time / total, launches, metrics });
    }
  },
};

/** Profiles a training step of the published encoder with its decoder; the rows that Nsight Compute writes. */
async function profile(part, options, seconds) {
  const { tools, root } = part.visit;
  const program = [process.execPath, join(root, "scripts", "gpu-visit", "one-step.mjs")];
  const outcome = await part.run(
    tools.ncu,
    ["--csv", "--target-processes", "all", "--print-kernel-base", "function", ...options, ...program],
    { seconds },
  );
  const lines = outcome.lines.filter((line) => line.startsWith('"'));
  if (lines.length < 2) throw new Error(reasonOf(outcome));
  part.visit.write(files.kernels, `${lines.join("\n")}\n`);
  return parse(lines.join("\n"), { columns: true, relax_column_count: true });
}

/** Kernels by name with what all their launches took, the costliest first. */
export function byTime(rows) {
  const kernels = new Map();
  for (const row of rows) {
    const time = Number(String(row["gpu__time_duration.sum"]).replaceAll(",", ""));
    if (!(time > 0)) continue; // the row of units
    const kernel = kernels.get(row["Kernel Name"]) ?? { name: row["Kernel Name"], time: 0, launches: 0 };
    kernel.time += time;
    kernel.launches++;
    kernels.set(kernel.name, kernel);
  }
  return [...kernels.values()].sort((a, b) => b.time - a.time);
}

const escaped = (name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
