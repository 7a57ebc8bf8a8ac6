// Kernels beside LibTorch's own operations: the rows that kernel_bench prints.
import { needsTools, reasonOf } from "../visit.mjs";

export const kernelTimes = {
  name: "kernel times",
  seconds: 110,
  wants: needsTools("kernel_bench"),
  async run(part) {
    const { tools, device, small, besideLibTorch } = part.visit;
    const outcome = await part.run(tools.kernel_bench, [device === "cpu" ? "cpu" : "cuda"], {
      env: besideLibTorch,
      // A rehearsal is cut short: the program has one size a device.
      seconds: small ? 20 : 600,
      onLine: (line) => {
        const row = timedRow(line);
        if (row !== null) part.record("timed", row);
      },
    });
    if (outcome.late) return "late";
    if (outcome.status !== 0) throw new Error(reasonOf(outcome));
  },
};

/** `| work | by | median | least to most | ... |` of kernel_bench; null for any other line. */
export function timedRow(line) {
  const cells = line.split("|").map((cell) => cell.trim());
  if (cells.length < 5 || cells[1] === "work" || /^-+$/.test(cells[1])) return null;
  const [, work, by, median, range = ""] = cells;
  const ours = by.startsWith("transfer-limits");
  if (!(Number(median) > 0))
    return { work, by, ours, milliseconds: null, reason: by.match(/\((.*)\)$/)?.[1] ?? median };
  const [least, most] = range.split(" to ").map(Number);
  return { work, by, ours, milliseconds: Number(median), least, most };
}
