// Every kernel against references in float64; each check in a process of its own: an error that stays with a device spoils
// one check alone.
import { inParallel, needsTools, reasonOf } from "../visit.mjs";

export const kernelChecks = {
  name: "kernel checks",
  seconds: 120,
  wants: needsTools("kernel_checks"),
  async run(part) {
    const { tools, device, small, besideLibTorch: env } = part.visit;
    const { lines: names } = await part.run(tools.kernel_checks, ["names"], { seconds: 30, env });
    // A device has room for several.
    await inParallel(names, part.onGpu ? 3 : 1, async (check) => {
      const { status, late, lines, errors } = await part.run(
        tools.kernel_checks,
        [device === "cpu" ? "cpu" : "cuda", check],
        { seconds: small ? 20 : 100, env },
      );
      const comparisons = lines.filter((line) => /^(ok|FAILED)\s/.test(line));
      const wrong = comparisons.filter((line) => line.startsWith("FAILED"));
      const passed = status === 0 && wrong.length === 0;
      // One that has nothing to compare here, such as a second device, is neither right nor wrong.
      // Nor is one that was cut short, unless something was wrong by then.
      const open = wrong.length === 0 && (late || (passed && comparisons.length === 0));
      part.record("judged", {
        what: check,
        right: open ? null : passed,
        detail:
          passed && comparisons.length > 0
            ? `${comparisons.length} kinds of comparisons`
            : [...wrong, passed ? "it compared nothing" : reasonOf({ status, late, lines, errors })],
      });
    });
    if (part.secondsLeft <= 0) return "late";
  },
};
