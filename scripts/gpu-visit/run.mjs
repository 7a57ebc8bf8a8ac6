// The visit itself, started by run.sh: the parts one after the other, the most valuable first, each within its own time.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { costliestKernels } from "./parts/costliest-kernels.mjs";
import { kernelChecks } from "./parts/kernel-checks.mjs";
import { kernelTimes } from "./parts/kernel-times.mjs";
import { machine, startPhantoms } from "./parts/machine.mjs";
import { networks } from "./parts/networks.mjs";
import { paperStudy } from "./parts/paper-study.mjs";
import { peers } from "./parts/peers.mjs";
import { programs } from "./parts/programs.mjs";
import { ranks } from "./parts/ranks.mjs";
import { sanitizer } from "./parts/sanitizer.mjs";
import { smallStudy } from "./parts/small-study.mjs";
import { files, Visit } from "./visit.mjs";

const { values } = parseArgs({
  options: {
    started: { type: "string" },
    root: { type: "string" },
    here: { type: "string" },
    python: { type: "string" },
    cpu: { type: "boolean", default: false },
    build: { type: "boolean", default: false },
    out: { type: "string" },
    budget: { type: "string", default: "525" },
  },
});
const out = resolve(values.out || process.env.OUT || join(values.here, "results"));
mkdirSync(out, { recursive: true });
// What an earlier visit left is not this one's.
for (const name of Object.values(files)) rmSync(join(out, name), { force: true });
if (readdirSync(out).length > 0) console.error(`${out} holds other files too`);

const gpu = spawnSync("nvidia-smi", ["--list-gpus"], { encoding: "utf8" });
const onGpu = !values.cpu && gpu.status === 0 && gpu.stdout.trim() !== "";
if (!onGpu && !values.cpu) console.error("nvidia-smi finds no GPU: this is a rehearsal on the CPU");
const visit = new Visit({
  out,
  root: values.root,
  started: Number(values.started),
  budget: Number(values.budget),
  device: onGpu ? "cuda:0" : "cpu",
  gpus: onGpu ? gpu.stdout.trim().split("\n").length : 0,
  build: values.build,
  python: values.python,
});
await visit.runPart(machine);
await visit.runPart(programs);
const phantoms = startPhantoms(visit);
await Promise.all([visit.runPart(kernelChecks), visit.runPart(smallStudy)]);
for (const part of [kernelTimes, networks, ranks, peers, paperStudy, costliestKernels, sanitizer])
  await visit.runPart(part);
phantoms.kill();
process.exit(0);
