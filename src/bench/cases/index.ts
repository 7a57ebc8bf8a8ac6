import type { BenchCase } from "../case.js";
import { depthwise, mmd, ssim } from "./kernels.js";
import { mmdMemory } from "./mmd-memory.js";
import { convNeXt, vit } from "./networks.js";
import { reading } from "./reading.js";
import { specialised, unetr } from "./specialised.js";
import { frozen, overhead } from "./study.js";

/** Everything that `bench` times, in the order of its table. */
export const benchCases: readonly BenchCase[] = [
  ...depthwise,
  ...convNeXt,
  ...vit,
  ...mmd,
  mmdMemory,
  ...ssim,
  reading,
  frozen,
  overhead,
  ...unetr,
  ...specialised,
];
