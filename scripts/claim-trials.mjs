// node scripts/claim-trials.mjs [--trials 1000] [--at-once 4] [--dead-after 1000] [--seed 1] [--slow-disk]
// Randomised trials of claiming a cell: see claim-trials/trials.mjs. Prints what was found; the exit status is 1 where any
// cell was done twice, damaged, or not done.
import { parseArgs } from "node:util";
import { hasOtherHosts, runTrials } from "./claim-trials/trials.mjs";

const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "1000" },
    "at-once": { type: "string", default: "4" },
    "dead-after": { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    "slow-disk": { type: "boolean", default: false },
  },
});
if (!hasOtherHosts())
  console.log("No name spaces of its own are allowed here: all processes are of one host.");
const found = await runTrials({
  trials: Number(values.trials),
  atOnce: Number(values["at-once"]),
  seed: Number(values.seed),
  deadAfter: Number(values["dead-after"]),
  slowDisk: values["slow-disk"],
  onTrial: ({ trials }) => {
    if (trials % 50 === 0) process.stderr.write(`${trials} trials\n`);
  },
});
console.log(JSON.stringify(found, null, 2));
const { notDone, doneTwice, damaged, otherErrors } = found;
process.exit(notDone.length + doneTwice.length + damaged.length + otherErrors.length > 0 ? 1 : 0);
