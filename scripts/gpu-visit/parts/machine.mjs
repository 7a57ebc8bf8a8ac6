// What the visit runs on and what is there: facts, the programs that parts need, and what the device is able to do.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { locateLibTorch } from "../../../dist/native/libtorch.js";
import { reasonOf } from "../visit.mjs";

export const machine = {
  name: "machine",
  seconds: 60,
  async run(part) {
    const { visit } = part;
    const packed = JSON.parse(readFileSync(join(visit.root, "packed.json"), "utf8"));
    visit.small = packed.small;
    const toolkit = cudaToolkit();
    visit.tools = {
      python: visit.python,
      "nvidia-smi": onPath("nvidia-smi"),
      ncu: onPath("ncu") ?? within(toolkit, "bin/ncu"),
      "compute-sanitizer": onPath("compute-sanitizer") ?? within(toolkit, "bin/compute-sanitizer"),
      toolkit,
    };
    const fact = (what, value) => part.record("fact", { what, value: String(value) });
    fact("commit", packed.commit);
    fact("date", new Date().toISOString().slice(0, 10));
    fact("device", visit.device);
    fact("size", visit.small ? "small" : "whole");
    fact("processor", cpus()[0]?.model.trim() ?? "unknown");
    fact("cores", availableParallelism());
    fact("memory", `${Math.round(totalmem() / 2 ** 30)} GiB`);
    if (part.onGpu) {
      const fields = "name,driver_version,memory.total";
      const { status, lines, errors } = await part.run(
        visit.tools["nvidia-smi"] ?? "nvidia-smi",
        [`--query-gpu=${fields}`, "--format=csv,noheader", "--id=0"],
        { seconds: 20 },
      );
      if (status !== 0)
        throw new Error(`nvidia-smi finds no GPU: ${errors.join(" ")} (run.sh --cpu does without)`);
      const [card, driver, memory] = lines[0].split(",").map((text) => text.trim());
      fact("card", card);
      fact("driver", driver);
      fact("GPU memory", memory);
    }
    await torch(part, fact);
  },
};

/** The torch of the Python, which the addon takes too unless LIBTORCH says otherwise; and the device's rates by it. */
async function torch(part, fact) {
  const { visit } = part;
  const script = "import os, torch; print(torch.__version__); print(os.path.dirname(torch.__file__))";
  const { status, lines } = await part.run(visit.python, ["-c", script], { seconds: 60 });
  if (status === 0) {
    fact("torch", lines[0]);
    visit.tools["torch in Python"] = visit.python;
    const rates = await part.run(
      visit.python,
      [join(visit.root, "scripts", "gpu-visit", "rates.py"), part.onGpu ? "cuda" : "cpu"],
      { seconds: 40, onLine: (line) => line.startsWith("{") && part.record("rates", JSON.parse(line)) },
    );
    if (rates.status !== 0) fact("rates", `not measured: ${reasonOf(rates)}`);
  } else {
    fact("torch", `none in ${visit.python}`);
  }
  const own = () => locateLibTorch().found?.folder ?? null;
  const ofPython = status === 0 ? lines[1] : null;
  // On a CPU what was built on this machine is run, against what it was built for.
  visit.libtorch = process.env.LIBTORCH ?? (part.onGpu ? (ofPython ?? own()) : (own() ?? ofPython));
}

/** Starts to write the phantoms of the study at the paper's size, which the CPU has time for. */
export function startPhantoms(visit) {
  visit.paperCohort = join(visit.root, "scratch", "paper-cohort");
  const script = join(visit.root, "scripts", "gpu-visit", "make-phantoms.mjs");
  return spawn("nice", [process.execPath, script, visit.paperCohort, visit.small ? "small" : "whole"], {
    env: { ...process.env, ...visit.environment, TRANSFER_LIMITS_FLAVOUR: "cpu" },
    stdio: "ignore",
  });
}

function onPath(program) {
  const { status, stdout } = spawnSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : null;
}

const within = (folder, path) =>
  folder !== null && existsSync(join(folder, path)) ? join(folder, path) : null;

/** Where nvcc lies, by CUDA_HOME, the PATH or the usual place. */
function cudaToolkit() {
  if (process.env.CUDA_HOME) return process.env.CUDA_HOME;
  const nvcc = onPath("nvcc");
  if (nvcc !== null)
    return dirname(dirname(spawnSync("readlink", ["-f", nvcc], { encoding: "utf8" }).stdout.trim()));
  return existsSync("/usr/local/cuda/bin/nvcc") ? "/usr/local/cuda" : null;
}
