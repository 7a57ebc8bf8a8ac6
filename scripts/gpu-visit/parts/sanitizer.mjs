// Every kernel check under compute-sanitizer: memory that isn't a kernel's own, and races in shared memory.
import { inParallel, needsGpu, needsTools } from "../visit.mjs";

/**
 * Checks that are left out: recording needs the allocator's cache, in which an overrun is not seen; the others look at
 * LibTorch's kernels, or at more than there is time for where everything takes ten times as long.
 */
const left = ["step_recorder", "networks", "paper_size", "large_tensors", "numerics", "device_clock"];

export const sanitizer = {
  name: "compute-sanitizer",
  seconds: 90,
  wants: (visit) => needsGpu(visit) ?? needsTools("compute-sanitizer", "kernel_checks")(visit),
  async run(part) {
    const { tools, besideLibTorch } = part.visit;
    const { lines: names } = await part.run(tools.kernel_checks, ["names"], {
      seconds: 30,
      env: besideLibTorch,
    });
    const checks = names.filter((name) => !left.includes(name));
    const runs = ["memcheck", "racecheck"].flatMap((tool) => checks.map((check) => ({ tool, check })));
    // Nothing is timed any more.
    await inParallel(runs, 6, async ({ tool, check }) => {
      const { late, lines, errors } = await part.run(
        tools["compute-sanitizer"],
        ["--tool", tool, tools.kernel_checks, "cuda", check],
        { env: { ...besideLibTorch, PYTORCH_NO_CUDA_MEMORY_CACHING: "1" } },
      );
      part.record("judged", { what: `${tool}, ${check}`, ...verdict([...lines, ...errors], late) });
    });
    if (part.secondsLeft <= 0) return "late";
  },
};

/** What the sanitizer's last words mean: `ERROR SUMMARY: 0 errors`, `RACECHECK SUMMARY: 0 hazards displayed (...)`. */
export function verdict(lines, late) {
  const summary = lines.findLast((line) => /SUMMARY: \d+/.test(line));
  if (summary === undefined)
    return {
      right: null,
      detail: late
        ? "it took longer than its time"
        : `no summary: ${lines.slice(-2).join(" / ").slice(0, 300)}`,
    };
  const count = Number(summary.match(/SUMMARY: (\d+)/)[1]);
  return { right: count === 0, detail: summary.replace(/^=+\s*/, "") };
}
