// The published network's training step in PyTorch, eager and compiled, contiguous and channels-last.
import { join } from "node:path";
import { needsTools, reasonOf } from "../visit.mjs";

export const peers = {
  name: "peers in PyTorch",
  seconds: 90,
  wants: needsTools("torch in Python"),
  async run(part) {
    const { root, device, small, tools } = part.visit;
    const script = join(root, "scripts", "gpu-visit", "peers.py");
    const args = [script, device === "cpu" ? "cpu" : "cuda", small ? "small" : "whole"];
    const outcome = await part.run(tools.python, args, {
      onLine: (line) => {
        if (line.startsWith("{")) part.record("timed", JSON.parse(line));
      },
    });
    if (outcome.late) return "late";
    if (outcome.status !== 0) throw new Error(reasonOf(outcome));
  },
};
