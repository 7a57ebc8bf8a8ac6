import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { basename, dirname, join } from "node:path";
import { type FolderTrial, tryFolder } from "../../common/folder-trial.js";
import { buildCommand, ownCommand } from "../../common/own-commands.js";
import { type BinaryFolder, binaryPlaces, findBinaries } from "../../native/binaries.js";
import { binaryName, hasDriver } from "../../native/flavour.js";
import { cacheFolder } from "../../native/libtorch/lock.js";
import { lastLines } from "../../native/libtorch/python.js";
import { type Attempt, type LibTorch, locateLibTorch, searchReport } from "../../native/libtorch.js";
import { bytes } from "../format.js";
import { type AddonTrial, tryAddon } from "./try-addon.js";
import { versionOf } from "./versions.js";

export interface Finding {
  name: string;
  /** `missing`: something that is needed, now, is not there. `note`: it is not there, and only some need it. */
  status: "ok" | "note" | "missing";
  detail: string;
  remedy?: string;
}

export interface Examination {
  /** Whether everything that is needed to run a study is there. */
  ok: boolean;
  findings: Finding[];
  libtorch: LibTorch | null;
  tried: Attempt[];
  /** What the addon says of itself; null where it could not be loaded. */
  addon: Extract<AddonTrial, { loaded: true }> | null;
  machine: {
    node: string;
    cores: number;
    memoryBytes: number;
    cacheFolder: string;
    freeBytes: number | null;
  };
  tools: Record<string, string | null>;
}

/** Looks at everything that a study, or the build, needs. Changes nothing, and asks nothing of the network. */
export async function examineMachine(environment: NodeJS.ProcessEnv = process.env): Promise<Examination> {
  const { found: libtorch, tried } = locateLibTorch(environment);
  const binaries = findBinaries(libtorch?.version);
  const trial = binaries && libtorch ? await tryAddon(environment) : null;
  const addon = trial?.loaded ? trial : null;
  const cache = cacheFolder(environment);
  const freeBytes = await freeSpace(cache);
  const tools = await toolVersions(environment);
  const here = await tryFolder(process.cwd());

  const findings: Finding[] = [
    nodeFinding(),
    libtorch
      ? {
          name: "LibTorch",
          status: "ok",
          detail: `${libtorch.version} (${libtorch.flavour}) in ${libtorch.folder}`,
        }
      : { name: "LibTorch", status: "missing", detail: `not found\n${searchReport(tried)}` },
    ...(libtorch ? [libdeflateFinding(libtorch)] : []),
    addonFinding(binaries, libtorch, trial),
    ...(addon ? deviceFindings(addon) : []),
    {
      name: "machine",
      status: "ok",
      detail: `${availableParallelism()} cores, ${bytes(totalmem())} of memory`,
    },
    {
      name: "cache folder",
      status: "ok",
      detail: `${cache}${freeBytes === null ? "" : `, ${bytes(freeBytes)} free`}`,
    },
    folderFinding(here),
    ...toolFindings(tools, { fetching: !libtorch, building: !addon }),
  ];
  return {
    ok: findings.every(({ status }) => status !== "missing"),
    findings,
    libtorch,
    tried,
    addon,
    machine: {
      node: process.version,
      cores: availableParallelism(),
      memoryBytes: totalmem(),
      cacheFolder: cache,
      freeBytes,
    },
    tools,
  };
}

/** Of the folder in which `doctor` is called, where a study most often lies too. */
function folderFinding(trial: FolderTrial): Finding {
  const name = "this folder";
  if (!trial.usable) {
    const detail = `${trial.tried} cannot hold a study: ${trial.reason}`;
    return {
      name,
      status: "note",
      detail,
      remedy: "Give studies an execution.output on a disk that can be written to.",
    };
  }
  const links = trial.hardLinks
    ? ""
    : "; it has no hard links, so weights are copied, which takes more space";
  return { name, status: "ok", detail: `${trial.tried} can hold a study${links}` };
}

function nodeFinding(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const detail = process.version;
  if (major > 20 || (major === 20 && minor >= 17)) return { name: "Node", status: "ok", detail };
  return { name: "Node", status: "missing", detail, remedy: "Install Node 20.17 or newer." };
}

function libdeflateFinding({ libraries }: LibTorch): Finding {
  const path = libraries.find((library) => basename(library).startsWith("libdeflate"));
  if (path !== undefined) return { name: "libdeflate", status: "ok", detail: path };
  return {
    name: "libdeflate",
    status: "note",
    detail: "not found; Node decompresses images instead, which takes longer",
    remedy: ownCommand("doctor", "--fetch"),
  };
}

function addonFinding(
  binaries: BinaryFolder | null,
  libtorch: LibTorch | null,
  trial: AddonTrial | null,
): Finding {
  const name = "native addon";
  if (!binaries) {
    const detail = `not built: neither ${binaryPlaces().join(" nor ")} holds loader.node and transfer_limits.node`;
    return { name, status: "missing", detail, remedy: buildCommand() };
  }
  if (!libtorch || !trial) {
    const detail = `${binaries.origin}, in ${binaries.path}; it cannot be loaded without LibTorch`;
    return { name, status: "missing", detail, remedy: "Mend LibTorch first." };
  }
  if (!trial.loaded) {
    const detail = `it cannot be loaded: ${lastLines(trial.reason, 14)}`;
    return { name, status: "missing", detail, remedy: buildCommand() };
  }
  const { libtorch: version, compiler, cuda, cudaVersion } = trial.build;
  const flavour = cuda ? `with CUDA ${cudaVersion ?? ""}`.trim() : "for the CPU";
  return {
    name,
    status: "ok",
    detail: `built for LibTorch ${version}, ${flavour}, by ${compiler}${binaries.origin === "prebuilt" ? "; it came with the package" : ""}`,
  };
}

function deviceFindings({ build, threads }: Extract<AddonTrial, { loaded: true }>): Finding[] {
  const { devices, cpuCapability } = build;
  const cuda = devices.filter(({ id }) => id.startsWith("cuda"));
  const driver = `NVIDIA's driver is ${hasDriver() ? "there" : "not there (no /dev/nvidiactl)"}`;
  return [
    { name: "CPU", status: "ok", detail: `${threads} threads an operation, ${cpuCapability} instructions` },
    cuda.length > 0
      ? {
          name: "CUDA devices",
          status: "ok",
          detail: cuda.map(({ id, name, memoryBytes }) => `${id} ${name}, ${bytes(memoryBytes)}`).join("\n"),
        }
      : {
          name: "CUDA devices",
          status: "note",
          detail: `${build.cuda ? "none is seen" : "none: the addon that was loaded is the one for the CPU"}; ${driver}`,
          ...(build.cuda ? {} : { remedy: forGpu() }),
        },
  ];
}

/** Where the CUDA flavour of the addon is there, LibTorch's CUDA part is what is missing. */
const forGpu = (): string => {
  const folder = findBinaries(locateLibTorch().found?.version)?.path;
  return folder !== undefined && existsSync(join(folder, binaryName("cuda")))
    ? `For a GPU, with NVIDIA's driver: ${ownCommand("doctor", "--install", "--cuda")}`
    : `For a GPU: ${buildCommand("cuda")}`;
};

const toolNames = ["cmake", "ninja", "g++", "python3", "pip"] as const;

async function toolVersions(
  environment: NodeJS.ProcessEnv,
): Promise<Record<(typeof toolNames)[number], string | null>> {
  const [cmake = null, ninja = null, compiler = null, python = null, pip = null] = await Promise.all([
    versionOf("cmake", ["--version"], environment),
    versionOf("ninja", ["--version"], environment),
    versionOf(environment.CXX || "g++", ["--version"], environment),
    versionOf("python3", ["--version"], environment),
    versionOf("python3", ["-m", "pip", "--version"], environment),
  ]);
  return { cmake, ninja, "g++": compiler, python3: python, pip };
}

/** A tool that is not there is missing only where its work is still to be done. */
function toolFindings(
  tools: Record<string, string | null>,
  todo: { fetching: boolean; building: boolean },
): Finding[] {
  const needs = {
    cmake: {
      for: "to build the addon",
      now: todo.building,
      remedy: "Install CMake 3.22 or newer (apt-get install cmake).",
    },
    ninja: { for: "to build the addon faster", now: false, remedy: "Optional: apt-get install ninja-build." },
    "g++": {
      for: "to build the addon",
      now: todo.building,
      remedy: "Install a C++20 compiler (apt-get install g++ make).",
    },
    python3: {
      for: "to fetch LibTorch",
      now: todo.fetching,
      remedy: "Install Python 3 (apt-get install python3).",
    },
    pip: {
      for: "to fetch LibTorch",
      now: todo.fetching,
      remedy: "Install pip (apt-get install python3-pip).",
    },
  };
  return toolNames.map((name): Finding => {
    const version = tools[name];
    if (version) return { name, status: "ok", detail: version };
    const { for: purpose, now, remedy } = needs[name];
    return { name, status: now ? "missing" : "note", detail: `not found; needed ${purpose}`, remedy };
  });
}

/** Free bytes on the disk of `folder`, or of the nearest folder above it that exists. */
async function freeSpace(folder: string): Promise<number | null> {
  for (let path = folder; ; path = dirname(path)) {
    if (existsSync(path)) {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    }
    if (path === dirname(path)) return null;
  }
}
