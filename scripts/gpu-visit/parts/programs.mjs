// Whether what was packed starts here: the addon in Node, the programs that check and time kernels. Where it does not, or
// was built for another torch, it is built from the packed sources.
import { existsSync, mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binaryName } from "../../../dist/native/flavour.js";
import { locateLibTorch } from "../../../dist/native/libtorch.js";
import { files, reasonOf } from "../visit.mjs";

export const programs = {
  name: "programs",
  seconds: 240,
  async run(part) {
    const { visit } = part;
    const { root, libtorch } = visit;
    visit.environment = {
      ...(libtorch === null ? {} : { LIBTORCH: libtorch }),
      TRANSFER_LIMITS_FLAVOUR: part.onGpu ? "cuda" : "cpu",
    };
    // Of the programs without Node, which have no loader; of nothing else, which may have other such libraries.
    visit.besideLibTorch = libtorch === null ? {} : { LD_LIBRARY_PATH: librariesOf(libtorch).join(":") };
    let reason = visit.build ? "asked for" : await whyNot(part);
    if (reason !== null) {
      part.record("fact", { what: "packed programs", value: `not used: ${reason}` });
      if (libtorch === null) throw new Error(`the programs cannot be built here: no LibTorch (${reason})`);
      const start = Date.now();
      await build(part);
      part.record("measured", {
        what: "building the programs here",
        value: (Date.now() - start) / 1000,
        unit: "s",
      });
      reason = await whyNot(part);
      if (reason !== null) throw new Error(`what was built here does not start: ${reason}`);
    }
    part.record("fact", {
      what: "programs",
      value: existsSync(join(root, "built")) ? "built here" : "packed",
    });
    for (const name of ["kernel_checks", "kernel_bench"]) {
      const path = join(root, "build", "checks", name);
      visit.tools[name] = existsSync(path) ? path : null;
    }
  },
};

/** Why the addon or the programs without Node do not start; null where they do. */
async function whyNot(part) {
  const addon = await part.runNode("starts.mjs", [part.visit.device], { seconds: 60, onDocument: () => {} });
  if (addon.status !== 0) return reasonOf(addon);
  const checks = join(part.visit.root, "build", "checks", "kernel_checks");
  if (!existsSync(checks)) return null;
  const names = await part.run(checks, ["names"], { seconds: 60, env: part.visit.besideLibTorch });
  return names.status === 0 ? null : `kernel_checks: ${reasonOf(names)}`;
}

async function build(part) {
  const { root, libtorch, tools } = part.visit;
  const folder = join(root, "built");
  const toolkit = part.onGpu ? (tools.toolkit ?? "no CUDA toolkit") : "OFF";
  const built = await part.run(
    "bash",
    [join(root, "scripts/gpu-visit/build.sh"), libtorch, toolkit, join(root, "node_modules"), folder],
    { onLine: (line) => part.visit.write(files.build, `${line}\n`) },
  );
  if (built.status !== 0) throw new Error(`the programs could not be built here: ${reasonOf(built)}`);
  for (const kind of ["Release", "checks"]) {
    mkdirSync(join(root, "build", kind), { recursive: true });
    for (const name of readdirSync(join(folder, kind)))
      renameSync(join(folder, kind, name), join(root, "build", kind, name));
  }
  const { found } = locateLibTorch({ LIBTORCH: libtorch });
  const versions = ["cpu", "cuda"].map((flavour) => [binaryName(flavour), found.version]);
  writeFileSync(
    join(root, "build", "Release", "built-for.json"),
    JSON.stringify({ libtorch: Object.fromEntries(versions) }),
  );
}

/** Where the libraries lie that LibTorch's refer to: its own, and in a Python those of the packages beside it. */
function librariesOf(libtorch) {
  const nvidia = join(libtorch, "..", "nvidia");
  const packages = existsSync(nvidia) ? readdirSync(nvidia).map((name) => join(nvidia, name, "lib")) : [];
  return [join(libtorch, "lib"), ...packages.filter((path) => existsSync(path))];
}
