// A study at the paper's size, with the GPU's utilisation every second.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { files, reasonOf } from "../visit.mjs";

export const paperStudy = {
  name: "study at the paper's size",
  seconds: 90,
  leastSeconds: 20,
  async run(part) {
    const { visit } = part;
    const samples = [];
    const sampler = visit.tools["nvidia-smi"] && part.onGpu ? sample(visit, samples) : null;
    const epochs = [];
    try {
      const args = [visit.paperCohort, part.scratch, visit.device, visit.small ? "small" : "whole"];
      const outcome = await part.runNode("run-paper-study.mjs", args, {
        onDocument: (document) => {
          if (document.epoch) epochs.push(document);
          if (document.failed) {
            part.record("judged", { what: document.failed, right: false, detail: document.reason });
          }
          if (document.cost) record(part, document);
        },
      });
      if (outcome.late) return "late";
      if (outcome.status !== 0) throw new Error(reasonOf(outcome));
    } finally {
      sampler?.kill();
      utilisation(part, samples, epochs);
    }
  },
};

function record(part, { cell, cost, estimatedBytes, losses }) {
  const [first, last] = losses;
  part.record("judged", {
    what: `${cell} learns`,
    // In the two epochs of a rehearsal a loss may rise.
    right: part.visit.small ? Number.isFinite(last) : last < first,
    detail: `loss ${first.toPrecision(4)} in its first epoch, ${last.toPrecision(4)} in its last`,
  });
  const [, ...later] = cost.epochSeconds;
  part.record("measured", { what: `${cell}, an epoch after the first`, value: middle(later), unit: "s" });
  part.record("memory", { what: cell, peakBytes: cost.peakMemoryBytes, estimatedBytes });
}

/** How busy the device was between the first and the last epoch of each cell: nothing but training happens there. */
function utilisation(part, samples, epochs) {
  for (const cell of new Set(epochs.map(({ cell }) => cell))) {
    const times = epochs.filter((epoch) => epoch.cell === cell).map(({ time }) => time);
    const within = samples.filter(({ time }) => time > times[0] + 1000 && time <= times.at(-1));
    if (within.length < 3) continue;
    const mean = within.reduce((sum, { percent }) => sum + percent, 0) / within.length;
    part.record("measured", { what: `${cell}, utilisation while training`, value: mean, unit: "%" });
  }
}

function sample(visit, samples) {
  const fields = [
    "timestamp",
    "utilization.gpu",
    "utilization.memory",
    "memory.used",
    "power.draw",
    "clocks.sm",
  ];
  visit.write(files.utilisation, `${fields.join(",")}\n`);
  const child = spawn(
    visit.tools["nvidia-smi"],
    [`--query-gpu=${fields.join(",")}`, "--format=csv,noheader,nounits", "--loop=1", "--id=0"],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  createInterface({ input: child.stdout }).on("line", (line) => {
    visit.write(files.utilisation, `${line}\n`);
    const percent = Number(line.split(",")[1]);
    if (Number.isFinite(percent)) samples.push({ time: Date.now(), percent });
  });
  return child;
}

const middle = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
