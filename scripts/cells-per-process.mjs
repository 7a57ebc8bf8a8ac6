// What a study of cells of a second takes whose cells have a process each, or share one: the same study in turns, by the clock
// and by the processor.
//
//   node scripts/cells-per-process.mjs [--rounds 3] [--jobs 2]
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runStudy, writePhantomCohort } from "../dist/index.js";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, jobs: { type: "string", default: "2" } },
});
const folder = await mkdtemp(join(tmpdir(), "transfer-limits-cells-per-process-"));
const manifest = await writePhantomCohort(join(folder, "cohort"), {
  cases: 6,
  seed: 3,
  voxels: [32, 32, 16],
});
const uNet = { family: "unet-3d", features: 4, levels: 3 };
const study = {
  name: "cells-per-process",
  cohort: { manifest, voxels: [32, 32, 16] },
  split: { train: 3, validation: 1, test: 2 },
  models: [
    {
      name: "ProFound",
      encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] },
      pretrain: { epochs: 3, batchSize: 2, learningRate: 1e-3, decoderDim: 8 },
      decoder: { kind: "upernet", hidden: 8, auxiliary: 4 },
      subpixel: { featureSize: 4 },
    },
  ],
  tasks: ["lesion-segmentation", "super-resolution"],
  specialised: { "lesion-segmentation": uNet, "super-resolution": uNet },
  untrainedHead: "random",
  training: { epochs: 2, learningRate: 1e-3 },
};

/** Seconds of processor that this process and its children that have ended took, in Linux' hundredths. */
async function processorSeconds() {
  const fields = (await readFile("/proc/self/stat", "utf8")).split(") ")[1].split(" ");
  return [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field]), 0) / 100;
}

try {
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const cellsPerProcess of [1, 100]) {
      const [started, before] = [performance.now(), await processorSeconds()];
      const output = join(folder, `${cellsPerProcess}-${round}`);
      const execution = { output, cache: join(folder, "cache"), threads: 1, jobs: Number(values.jobs) };
      const { cells } = await runStudy({ ...study, execution: { ...execution, cellsPerProcess } });
      const [clock, processor] = [(performance.now() - started) / 1e3, (await processorSeconds()) - before];
      console.log(
        `${cells.length} cells, at most ${cellsPerProcess} a process: ${clock.toFixed(1)} s, ${processor.toFixed(1)} s of processor`,
      );
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
