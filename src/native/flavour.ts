import { existsSync } from "node:fs";
import { join } from "node:path";
import { expected } from "../common/errors.js";

/** With or without CUDA kernels: two builds of the same addon. */
export type Flavour = "cpu" | "cuda";

/** The file of each, in the folder of the compiled addon. */
export const binaryName = (flavour: Flavour): string =>
  flavour === "cuda" ? "transfer_limits_cuda.node" : "transfer_limits.node";

/** Whether NVIDIA's driver is there, on Linux or in Windows' Linux. */
export const hasDriver = (): boolean => ["/dev/nvidiactl", "/dev/dxg"].some((path) => existsSync(path));

/**
 * Which flavour to load: what `TRANSFER_LIMITS_FLAVOUR` says, `cpu` or `cuda`; without it CUDA where that flavour is in
 * the folder, LibTorch has a CUDA part, and NVIDIA's driver is there.
 *
 * @throws `BAD_INPUT` for another word in the variable
 */
export function chooseFlavour(
  folder: string,
  { cudaLibraries }: { cudaLibraries: readonly string[] },
  environment: NodeJS.ProcessEnv = process.env,
): Flavour {
  const wish = environment.TRANSFER_LIMITS_FLAVOUR;
  if (wish === "cpu" || wish === "cuda") return wish;
  if (wish) throw expected("cpu or cuda", "the environment variable TRANSFER_LIMITS_FLAVOUR", wish);
  const usable = cudaLibraries.length > 0 && existsSync(join(folder, binaryName("cuda")));
  return usable && hasDriver() ? "cuda" : "cpu";
}
