// Runs the small study and prints what two devices must agree on, a JSON document a line, cell by cell as they are done; the
// last one says that it is complete: `run-study.mjs FOLDER OUTPUT DEVICE whole|small [keep]`. Packing runs it on the CPU and
// keeps the pretrained encoders, a visit on the GPU.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { readCell } from "../../dist/study/cell/cell-folder.js";
import { comparable, encoderFile, smallStudy } from "./study.mjs";
import { runStudy } from "./surface.mjs";

const [folder, output, device, size, keep] = process.argv.slice(2);
const say = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);
const settings = { small: size === "small", device, jobs: device === "cpu" ? 2 : 6 };

async function run(study, options) {
  const reading = [];
  const results = await runStudy(study, {
    ...options,
    onProgress: (event) => {
      if (event.kind === "cell-failed") say({ failed: event.cell.id, reason: event.reason });
      if (event.kind === "cell-done" && event.cell.kind === "cell") {
        const cell = readCell(study.execution.output, event.cell.id);
        reading.push(cell.then((result) => say({ numbers: comparable(result) })));
      }
    },
  });
  await Promise.all(reading);
  return results;
}

const first = join(output, "pretraining");
const { pretraining } = await run(smallStudy(folder, first, { ...settings, pretrain: true }), {
  only: "pretraining",
});
for (const { model, curve } of pretraining) {
  if (curve.length === 0) continue;
  const id = `${model}--pretraining`;
  say({ numbers: comparable({ id, curve }) });
  if (keep !== "keep") continue;
  mkdirSync(dirname(encoderFile(folder, model)), { recursive: true });
  copyFileSync(join(first, "cells", id, "encoder.safetensors"), encoderFile(folder, model));
}
await run(smallStudy(folder, join(output, "study"), settings));
say({ complete: true });
rmSync(output, { recursive: true, force: true });
