// What a step of training takes beside tensor operations, for every network that the paper's study trains from scratch, on
// phantoms of its size, 200 x 200 x 96, or a share of it: how long JavaScript's thread was at work, and how long no native
// work was under way, each as a share of the time from the first step of a cell to its last, whose epochs' ends are in it
// too. Validation follows the last step.
//
//   node scripts/host-work.mjs [--scale 0.5] [--threads 2] [--epochs 2] [--only part-of-an-id] [--json]
import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { writePhantomCohort } from "../dist/index.js";
import { nativeSeconds, setThreads } from "../dist/native/runtime.js";
import { Trainer } from "../dist/native/trainer.js";
import { workOnCell } from "../dist/study/cell/work-on-cell.js";

const { values } = parseArgs({
  options: {
    scale: { type: "string", default: "0.5" },
    threads: { type: "string", default: "2" },
    epochs: { type: "string", default: "2" },
    only: { type: "string", default: "" },
    cell: { type: "string" },
    folder: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const program = fileURLToPath(import.meta.url);
const commands = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

/** The clocks at the start of each step of a cell that is worked on here. */
async function stepsOf(folder, id) {
  const starts = [];
  const enqueue = Trainer.prototype.enqueue;
  Trainer.prototype.enqueue = function timed(...given) {
    const { active } = performance.eventLoopUtilization();
    starts.push({ clock: performance.now(), active, native: 1000 * nativeSeconds() });
    return enqueue.apply(this, given);
  };
  const end = await workOnCell(folder, id, {
    device: "cpu",
    signal: new AbortController().signal,
    tell: () => {},
    begin: () => setThreads(Number(values.threads)),
    startRanks: () => Promise.reject(new Error("one process trains")),
  });
  if (end.kind !== "done") throw new Error(`${id}: ${JSON.stringify(end)}`);
  return starts;
}

if (values.cell !== undefined) {
  const starts = await stepsOf(values.folder, values.cell);
  const [first, last] = [starts[0], starts.at(-1)];
  const whole = last.clock - first.clock;
  const answer = {
    cell: values.cell,
    steps: starts.length - 1,
    secondsOfStep: whole / 1000 / (starts.length - 1),
    javaScript: (last.active - first.active) / whole,
    withoutNative: 1 - (last.native - first.native) / whole,
  };
  console.log(JSON.stringify(answer));
  process.exit(0);
}

const folder = await mkdtemp(join(tmpdir(), "transfer-limits-host-work-"));
try {
  const voxels = [200, 200, 96].map((size) => Math.round(size * Number(values.scale)));
  const [train, validation, test] = [8, 1, 1];
  const manifest = await writePhantomCohort(join(folder, "cohort"), {
    cases: train + validation + test,
    seed: 5,
    voxels,
  });
  const study = {
    preset: "paper",
    name: "host-work",
    manifests: { promis: manifest, fewShot: null },
    cohort: { voxels },
    split: { train, validation, test },
    tasks: [
      "pirads-classification",
      "lesion-segmentation",
      "super-resolution",
      "distortion-correction",
      { kind: "modality-translation", samplingSteps: 1 },
    ],
    comparators: ["from-scratch", "specialised"],
    training: { epochs: Number(values.epochs), validateEvery: Number(values.epochs), batchSize: 2 },
    execution: { output: join(folder, "results"), cache: join(folder, "cache") },
  };
  const file = join(folder, "study.yaml");
  await writeFile(file, JSON.stringify(study));
  const run = (...given) => execFileSync(process.execPath, given, { encoding: "utf8", maxBuffer: 2 ** 26 });
  const { output, cells } = JSON.parse(run(commands, "prepare", file, "--json"));
  const rows = [];
  if (!values.json) {
    console.log("| cell | a step, s | JavaScript at work | no native work |\n| --- | --- | --- | --- |");
  }
  for (const { id, network } of cells) {
    if (network === null || !id.includes(values.only)) continue;
    const given = ["--cell", id, "--folder", output, "--threads", values.threads];
    const row = JSON.parse(run(program, ...given));
    rows.push(row);
    if (values.json) continue;
    const percent = (share) => `${(100 * share).toFixed(2)} %`;
    console.log(
      `| \`${id}\` | ${row.secondsOfStep.toFixed(2)} | ${percent(row.javaScript)} | ${percent(row.withoutNative)} |`,
    );
  }
  if (values.json) console.log(JSON.stringify(rows, null, 2));
} finally {
  await rm(folder, { recursive: true, force: true });
}
