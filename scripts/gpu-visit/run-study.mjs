// Runs the small study and writes what two devices must agree on: `run-study.mjs FOLDER OUTPUT DEVICE [small]`. Prints a
// JSON document a line: how far it is, then the numbers. Packing runs it on the CPU, a visit on the GPU.
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { comparable, encoderFile, smallStudy } from "./study.mjs";
import { runStudy } from "./surface.mjs";

const [folder, output, device, size, keep] = process.argv.slice(2);
const say = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);
const settings = { small: size === "small", device, jobs: device === "cpu" ? 2 : 6 };
const onProgress = (event) => {
  if (event.kind === "cell-failed") say({ failed: event.cell.id, reason: event.reason });
  if (event.kind === "study") say({ done: event.done, total: event.total });
};

const first = join(output, "pretraining");
const study = smallStudy(folder, first, { ...settings, pretrain: true });
const { pretraining } = await runStudy(study, { only: "pretraining", onProgress });
if (keep === "keep") {
  for (const { model } of pretraining) {
    mkdirSync(dirname(encoderFile(folder, model)), { recursive: true });
    copyFileSync(
      join(first, "cells", `${model}--pretraining`, "encoder.safetensors"),
      encoderFile(folder, model),
    );
  }
}
const results = await runStudy(smallStudy(folder, join(output, "study"), settings), { onProgress });
say({ numbers: comparable(results, pretraining) });
rmSync(output, { recursive: true, force: true });
