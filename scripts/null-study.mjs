/**
 * A study in which the truth is known: eight "pretrained" models whose pretraining changed nothing (each file of weights
 * holds an encoder as it was drawn), fine-tuned beside the same network from scratch. How many does the program call better,
 * or worse? Every seed by itself, and all together. Networks and phantoms are small: some minutes on one idle core; started
 * again, it goes on.
 *
 *   node scripts/null-study.mjs [--out folder] [--jobs 1] [--seed 1] [--smoke]
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { Network, runStudy, statistics, writePhantomCohort } from "../dist/index.js";

const { values: options } = parseArgs({
  options: {
    out: { type: "string", default: "null-study" },
    jobs: { type: "string", default: "1" },
    /** Of the study: other splits, other weights, another order of cases. */
    seed: { type: "string", default: "1" },
    /** Much too small to say anything: whether the script runs. */
    smoke: { type: "boolean", default: false },
  },
});
const folder = resolve(options.out);
const seed = Number(options.seed);
const size = options.smoke
  ? { models: 2, seeds: [1, 2], train: 2, test: 3, epochs: 1 }
  : { models: 8, seeds: [1, 2, 3, 4], train: 6, test: 10, epochs: 20 };

const manifest = join(folder, "cohort", "manifest.csv");
if (!existsSync(manifest))
  await writePhantomCohort(join(folder, "cohort"), {
    cases: size.train + 2 + size.test,
    seed: 1,
    voxels: [48, 48, 24],
  });

const encoder = { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] };
await mkdir(join(folder, "weights"), { recursive: true });
const models = [];
for (let index = 1; index <= size.models; index++) {
  const weights = join(folder, "weights", `${seed}-${index}.safetensors`);
  if (!existsSync(weights)) {
    const network = await Network.create({ encoder, seed: 10_000 * seed + index });
    await network.save(weights);
    network.dispose();
  }
  models.push({ name: `null-${index}`, encoder, weights, finetune: "full", subpixel: { featureSize: 4 } });
}

const results = await runStudy(
  {
    name: "null-study",
    seed,
    seeds: size.seeds,
    cohort: { manifest, voxels: [32, 32, 16] },
    split: { train: size.train, validation: 2, test: size.test },
    models,
    tasks: ["super-resolution"],
    comparators: ["fine-tuned", "from-scratch"],
    training: { epochs: size.epochs, learningRate: 2e-3, validateEvery: 5 },
    execution: {
      gate: "warn", // it would refuse weights that were never trained
      jobs: Number(options.jobs),
      threads: 1,
      cache: join(folder, "cache"),
      output: join(folder, `results-${seed}`),
    },
  },
  {
    onProgress: (event) => {
      if (event.kind === "cell-failed") console.error(`${event.cell.id} failed: ${event.reason}`);
      if (event.kind === "study") console.error(`  ${event.done} of ${event.total} cells`);
    },
  },
);

const verdicts = ["supported", "practically-equal", "contradicted", "undetermined"];
const counts = (claims) =>
  Object.fromEntries(
    verdicts.map((verdict) => [verdict, claims.filter((claim) => claim.verdict === verdict).length]),
  );
const over = (claims) => claims.filter(({ reference }) => reference === "from-scratch");
const done = results.cells.flatMap(({ result }) => result ?? []);
const singles = size.seeds.flatMap((one) =>
  over(statistics.computeClaims(done.filter((cell) => cell.seed === one))),
);
const together = over(results.claims);

/** How many single-seed comparisons Student's t over cases alone would call a difference, blind to how trainings scatter. */
const student = 2.262; // 97.5 % of nine degrees of freedom: of ten cases
const beyondCases = done
  .filter(({ comparator }) => comparator === "fine-tuned")
  .filter((cell) => {
    const other = done.find(
      (one) => one.comparator === "from-scratch" && one.model === cell.model && one.seed === cell.seed,
    );
    const gains = cell.metric.cases.map(({ value }, index) => value - other.metric.cases[index].value);
    const mean = gains.reduce((sum, gain) => sum + gain, 0) / gains.length;
    const squares = gains.reduce((sum, gain) => sum + (gain - mean) ** 2, 0);
    return Math.abs(mean) > student * Math.sqrt(squares / (gains.length - 1) / gains.length);
  }).length;
const report = {
  smoke: options.smoke,
  complete: results.complete,
  seed,
  models: size.models,
  seeds: size.seeds,
  testCases: results.cohort.split.test,
  singleSeed: counts(singles),
  singleSeedBeyondCases: beyondCases,
  allSeeds: counts(together),
  claims: together.map(({ model, verdict, reason, fineTuned, referenceValue, difference }) => ({
    model,
    verdict,
    reason,
    fineTuned,
    referenceValue,
    difference,
  })),
};
const path = join(folder, `null-study-${seed}.json`);
await writeFile(path, `${JSON.stringify(report, null, 2)}\n`);

const line = (numbers) => verdicts.map((verdict) => `${numbers[verdict]} ${verdict}`).join(", ");
for (const { model, verdict, reason, fineTuned, referenceValue } of report.claims)
  console.log(
    `${model}: SSIM ${fineTuned.toFixed(4)} over ${referenceValue.toFixed(4)}, ${verdict}: ${reason}`,
  );
console.log(`One seed alone, ${singles.length} comparisons: ${line(report.singleSeed)}`);
console.log(`  an interval over cases alone would call ${beyondCases} of them different`);
console.log(`All ${size.seeds.length} seeds, ${together.length} comparisons: ${line(report.allSeeds)}`);
if (options.smoke) console.log("This was a smoke run: the numbers say nothing.");
if (!results.complete) process.exitCode = 1;
