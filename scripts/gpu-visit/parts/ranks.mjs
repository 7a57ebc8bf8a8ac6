// Small networks of every family on every task, trained by two ranks on two GPUs and by one process on one: the definitions
// are the same where the two agree in float64. A rehearsal joins two processes on the CPU.
import { join } from "node:path";

/** What a rehearsal or a small visit trains. */
const few = "pirads-classification, full";

export const ranks = {
  name: "ranks",
  seconds: 90,
  wants: ({ device, gpus }) => (device !== "cpu" && gpus < 2 ? `${gpus} GPU, and it takes two` : null),
  async run(part) {
    const { device, root, small } = part.visit;
    const devices = device === "cpu" ? "cpu,cpu" : "cuda:0,cuda:1";
    const { status, errors, late } = await part.run(
      process.execPath,
      [
        join(root, "scripts", "ranks-check.mjs"),
        ...["--devices", devices, "--json"],
        ...(small || device === "cpu" ? ["--only", few] : []),
      ],
      {
        onLine: (line) => {
          if (!line.startsWith("{")) return;
          const { name, failed, words } = JSON.parse(line);
          part.record("judged", { what: name, right: failed === undefined, detail: words });
        },
      },
    );
    if (late) return "late";
    // What lies too far apart has been recorded; anything else is a reason of its own.
    if (status !== 0 && errors.length > 0) throw new Error(errors.slice(-3).join(" / "));
  },
};
