// Trains small networks of every family on every task of the paper for twenty steps, by one process and by two together, and
// prints how far the two lie apart. Fails where they lie further apart than they may.
//
//   node scripts/ranks-check.mjs [--devices cuda:0,cuda:1] [--dtype float32] [--only PATTERN] [--json]
//
// --devices   one for each rank: default two ranks on the CPU, by Gloo; on CUDA they are joined by NCCL
// --dtype     float64, the default, tells definitions apart from rounding: what is defined alike agrees to 1e-12 or so.
//             In float32 a step's rounding grows from step to step, and by whole learning rates where a gradient is 0 but
//             for rounding; nothing fails there
// --only      trainings whose name matches, such as "dino-vit, lesion-segmentation"
// --json      a document for each training, as it ends
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { setThreads } from "../dist/native/runtime.js";
import { differences, trainedOn } from "./ranks-check/rank-process.mjs";
import { everySetting } from "./ranks-check/settings.mjs";
import { startRanks } from "./ranks-check/start-ranks.mjs";

/** Relative, in float64. */
const mostApart = 1e-6;

const { values } = parseArgs({
  options: {
    devices: { type: "string", default: "cpu,cpu" },
    dtype: { type: "string", default: "float64" },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const devices = values.devices.split(",");
const settings = everySetting(scriptOfTests())
  .filter(({ name }) => new RegExp(values.only).test(name))
  .map((setting) => ({ ...setting, dtype: values.dtype }));
if (settings.length === 0) throw new Error(`No training has a name that matches ${values.only}`);
setThreads(1);
const ranks = await startRanks(devices.length, settings, { devices });
let failures = 0;
for (const [index, setting] of settings.entries()) {
  const { name, family, task, trained, dtype } = setting;
  const answers = await Promise.all(ranks.map((rank) => rank.answer(index)));
  const outcome = await compared(setting, answers);
  if (outcome.failed) failures++;
  const words = inWords(outcome);
  if (values.json) console.log(JSON.stringify({ name, family, task, trained, dtype, ...outcome, words }));
  else console.log(`${name}: ${words}`);
  if (answers.some(({ error }) => error)) break;
}
process.exitCode = failures === 0 ? 0 : 1;

/** The TorchScript module of the tests that returns feature maps; nothing where the tests are not. */
function scriptOfTests() {
  const folder = new URL("../test/oracles/", import.meta.url);
  if (!existsSync(folder)) return undefined;
  const modules = JSON.parse(readFileSync(new URL("torchscript.json", folder), "utf8"));
  const stages = [2, 4, 8, 16, 32].map((stride, index) => ({ channels: 2 + 2 * index, stride }));
  const file = fileURLToPath(new URL("torchscript/pyramid.pt", folder));
  const known = { family: "torchscript", trust: true, channels: 1, input: "volume", features: 10 };
  return { ...known, file, sha256: modules.pyramid.sha256, stages };
}

/** How far the ranks lie from one process, and what is wrong with that. */
async function compared(setting, answers) {
  const [first, ...others] = answers;
  const error = answers.find((one) => one.error)?.error;
  if (error) return { failed: error };
  if (others.some(({ checksum }) => checksum !== first.checksum))
    return { failed: "the ranks hold different networks" };
  const apart = differences(first.result, await trainedOn(setting, null, devices[0]));
  const isNear = Object.values(apart).every((distance) => distance < mostApart);
  return isNear || setting.dtype === "float32" ? { apart } : { apart, failed: `not below ${mostApart}` };
}

function inWords({ apart = {}, failed }) {
  const distances = Object.entries(apart).map(([what, value]) => `${what} ${value.toExponential(1)}`);
  return [...distances, ...(failed ? [failed] : [])].join(", ");
}
