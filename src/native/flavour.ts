import { existsSync } from "node:fs";
import { join } from "node:path";
import { expected } from "../common/errors.js";

/** With or without CUDA kernels: two builds of the same addon. */
export type Flavour = "cpu" | "cuda";

/** The file of each, in the folder of the compiled addon. */
export const binaryName = (flavour: Flavour): string =>
  flavour === "cuda" ? "transfer_limits_cuda.node" : "transfer_limits.node";

/**
 * Which flavour to load: what `TRANSFER_LIMITS_FLAVOUR` says, `cpu` or `cuda`; without it CUDA where that flavour was
 * built and NVIDIA's driver is there.
 *
 * @throws `BAD_INPUT` for another word in the variable
 */
export function chooseFlavour(folder: string, environment: NodeJS.ProcessEnv = process.env): Flavour {
  const wish = environment.TRANSFER_LIMITS_FLAVOUR;
  if (wish === "cpu" || wish === "cuda") return wish;
  if (wish) throw expected("cpu or cuda", "the environment variable TRANSFER_LIMITS_FLAVOUR", wish);
  const driver = ["/dev/nvidiactl", "/dev/dxg"].some((path) => existsSync(path));
  return driver && existsSync(join(folder, binaryName("cuda"))) ? "cuda" : "cpu";
}
