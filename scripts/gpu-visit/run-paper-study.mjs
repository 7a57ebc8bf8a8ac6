// Runs the study at the paper's size on phantoms that `make-phantoms.mjs` writes meanwhile: `run-paper-study.mjs COHORT
// OUTPUT DEVICE whole|small`. Prints a JSON document a line: what happens, and of each cell its cost beside the estimate.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { paperSizedStudy } from "./study.mjs";
import { planStudy, runStudy } from "./surface.mjs";

const [cohort, output, device, size] = process.argv.slice(2);
const say = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);
// A manifest is written last.
while (!existsSync(join(cohort, "manifest.csv"))) await pause(200);

const study = paperSizedStudy(cohort, output, { small: size === "small", device });
const estimates = new Map(planStudy(study).cells.map(({ id, memoryBytes }) => [id, memoryBytes]));
const results = await runStudy(study, {
  onProgress: (event) => {
    if (event.kind === "epoch")
      say({ epoch: event.epoch, cell: event.cell.id, time: Date.now(), loss: event.loss });
    if (event.kind === "cell-failed") say({ failed: event.cell.id, reason: event.reason });
  },
});
for (const { id, result } of results.cells) {
  if (result && result.comparator !== "trivial") {
    const { cost, curve } = result;
    say({
      cell: id,
      cost,
      estimatedBytes: estimates.get(id),
      losses: [curve[0]?.trainingLoss, curve.at(-1)?.trainingLoss],
    });
  }
}
rmSync(output, { recursive: true, force: true });
