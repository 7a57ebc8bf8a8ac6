// Every kernel check under compute-sanitizer: memory that isn't a kernel's own, and races in shared memory.
import { needsGpu, needsTools } from "../visit.mjs";

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
    for (const tool of ["memcheck", "racecheck"]) {
      for (const check of names) {
        // Recording needs the allocator's cache, in which an overrun is not seen.
        if (check === "step_recorder") continue;
        const { late, lines, errors } = await part.run(
          tools["compute-sanitizer"],
          ["--tool", tool, tools.kernel_checks, "cuda", check],
          { seconds: 40, env: { ...besideLibTorch, PYTORCH_NO_CUDA_MEMORY_CACHING: "1" } },
        );
        part.record("judged", { what: `${tool}, ${check}`, ...verdict([...lines, ...errors], late) });
      }
    }
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
