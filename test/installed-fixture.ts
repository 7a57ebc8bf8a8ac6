import { spawnSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBinaries } from "../dist/native/binaries.js";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { temporaryFolder } from "./libtorch-fixture.js";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Where the binaries lie that come with the package. */
export const prebuildsIn = (folder: string): string =>
  join(folder, "prebuilds", `${process.platform}-${process.arch}`);

/** The version of LibTorch that the tests run with. */
export const version = locateLibTorch().found?.version as string;

/**
 * The package as it is installed, in a path with a space, with binaries that came with it and none that was built: those
 * of this checkout, said to be for these versions of LibTorch.
 */
export function installed(...versions: string[]) {
  const folder = join(temporaryFolder(), "an installed package");
  mkdirSync(folder);
  for (const name of ["package.json", "libtorch.lock.json", "cuda-toolkit.lock.json"])
    copyFileSync(join(root, name), join(folder, name));
  cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const from = findBinaries(version)?.path as string;
  const prebuilds = versions.map((one) => {
    const place = join(prebuildsIn(folder), `torch-${one.split(".").slice(0, 2).join(".")}`);
    mkdirSync(place, { recursive: true });
    const libtorch: Record<string, string> = {};
    for (const name of ["loader.node", "transfer_limits.node", "transfer_limits_cuda.node"]) {
      if (!existsSync(join(from, name))) continue;
      copyFileSync(join(from, name), join(place, name));
      if (name !== "loader.node") libtorch[name] = one;
    }
    writeFileSync(join(place, "built-for.json"), JSON.stringify({ libtorch }));
    return place;
  });
  const doctor = (environment: NodeJS.ProcessEnv = {}) => doctorOf(folder, environment);
  return { folder, prebuilds, doctor };
}

/** What `doctor` of an installed package says, and of its addon. */
export function doctorOf(folder: string, environment: NodeJS.ProcessEnv = {}) {
  const { status, stdout } = spawnSync(
    process.execPath,
    [join(folder, "dist", "cli", "main.js"), "doctor", "--json"],
    {
      encoding: "utf8",
      env: {
        ...process.env,
        LIBTORCH: locateLibTorch().found?.folder,
        XDG_CACHE_HOME: temporaryFolder(),
        TRANSFER_LIMITS_FLAVOUR: "cpu",
        ...environment,
      },
    },
  );
  const { findings } = JSON.parse(stdout) as { findings: { name: string; detail: string }[] };
  const detail = (name: string) => findings.find((finding) => finding.name === name)?.detail as string;
  return { status, addon: detail("native addon"), libtorch: detail("LibTorch") };
}
