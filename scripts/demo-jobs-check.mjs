// Runs the demo's study twice on the same phantoms, two cells side by side and one after the other, at one thread a
// cell, and compares their results.json without times and memory: they must be the same. Prints what differs.
//
//   node scripts/demo-jobs-check.mjs [--out FOLDER] [--seed N]
//
// FOLDER (default demo-jobs-check) keeps the phantoms, and the results in jobs-2 and jobs-1. A run that was interrupted
// is gone on with. Exit status: 0 the same, 1 not, 2 bad use.
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

const options = (() => {
  try {
    const { values } = parseArgs({
      options: {
        out: { type: "string", default: "demo-jobs-check" },
        seed: { type: "string", default: "1" },
      },
    });
    const seed = Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0)
      throw new Error(`Expected a whole number of at least 0 for --seed but received ${values.seed}`);
    return { folder: resolve(values.out), seed };
  } catch (error) {
    console.error(error.message);
    process.exit(2);
  }
})();

const { prepareDemo } = await import("../dist/cli/demo-study.js");
const { loadStudy } = await import("../dist/study/plan/load-study.js");
const { runStudy } = await import("../dist/study/run/run.js");

const started = performance.now();
const say = (text) => console.error(`${Math.round((performance.now() - started) / 1000)} s: ${text}`);

const study = await loadStudy(await prepareDemo(options.folder, options.seed, say));

/** What `results.json` says, but for times and memory, as a list of `path = value`. */
function flatten(value, path = "", lines = new Map()) {
  if (typeof value !== "object" || value === null) return lines.set(path, JSON.stringify(value));
  for (const [key, entry] of Object.entries(value)) {
    if (key !== "cost") flatten(entry, path === "" ? key : `${path}.${key}`, lines);
  }
  return lines;
}

const runs = [];
for (const jobs of [2, 1]) {
  say(`Running the demo's study with --jobs ${jobs}`);
  const output = join(options.folder, `jobs-${jobs}`);
  const results = await runStudy(
    {
      ...study,
      execution: { ...study.execution, jobs, threads: 1, output, cache: join(options.folder, "cache") },
    },
    {
      jobs,
      onProgress: (event) => {
        if (event.kind === "study") say(`${event.done} of ${event.total} cells done, ${event.failed} failed`);
        if (event.kind === "cell-failed") say(`${event.cell.id} failed: ${event.reason}`);
      },
    },
  );
  if (!results.complete) {
    console.error(`The study with --jobs ${jobs} is not complete: see ${join(output, "results.json")}`);
    process.exit(1);
  }
  runs.push(flatten(results));
}

const [beside, alone] = runs;
const paths = [...new Set([...beside.keys(), ...alone.keys()])];
const differing = paths.filter((path) => beside.get(path) !== alone.get(path));
for (const path of differing)
  console.log(`${path}: ${beside.get(path) ?? "absent"} with 2 jobs, ${alone.get(path) ?? "absent"} with 1`);
console.log(
  differing.length === 0
    ? `The same: ${paths.length} values of results.json agree with 2 jobs and with 1.`
    : `${differing.length} of ${paths.length} values of results.json differ.`,
);
process.exitCode = differing.length === 0 ? 0 : 1;
