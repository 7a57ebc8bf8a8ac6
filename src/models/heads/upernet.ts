import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { convolution, norm, pass, volumeOf } from "../architectures/work.js";
import { finestPositions, gridOf, type HeadKind } from "./head.js";

const publishedHidden = 512;

/** Edges of the grids to which the deepest map is averaged. */
const poolings = [1, 2, 3, 6];

/** UperNet (Xiao et al. 2018), as published with ProFound. */
export const upernet = {
  kind: "upernet",
  schema: section({
    kind: z.literal("upernet"),
    outputs: size,
    hidden: size.optional(),
    auxiliary: size.optional(),
  }),
  batchNorm: () => false,
  /** Pooled contexts of the deepest map, a lateral level for each finer one, and the fusion of all four at the finest. */
  work({ hidden = publishedHidden, outputs }, encoder, extents) {
    const widths = architectureOf(encoder).widths(encoder);
    const at = (stage: number) => volumeOf(gridOf(encoder, extents, stage));
    const layer = (positions: number, into: number, kernel: number) => [
      convolution(positions, into, hidden, kernel),
      pass(5 * positions * hidden, 2),
    ];
    const deepest = widths[3] as number;
    return [
      ...widths.map((width, stage) => norm(at(stage), width)),
      ...poolings.flatMap((edge) => [
        pass(at(3) * (deepest + 2 * hidden), 2),
        ...layer(edge ** 3, deepest, 1),
      ]),
      pass(2 * at(3) * (deepest + 4 * hidden)),
      ...layer(at(3), deepest + 4 * hidden, 27),
      ...[0, 1, 2].flatMap((stage) => [
        ...layer(at(stage), widths[stage] as number, 1),
        pass(4 * at(stage) * hidden, 2),
        ...layer(at(stage), hidden, 27),
      ]),
      pass(14 * at(0) * hidden, 4),
      ...layer(at(0), 4 * hidden, 27),
      convolution(at(0), hidden, outputs, 1),
      pass(3 * volumeOf(extents) * outputs, 2),
    ];
  },
  size({ hidden = publishedHidden, outputs }, encoder, voxels) {
    const widths = architectureOf(encoder).widths(encoder);
    const finest = finestPositions(voxels);
    return {
      ...nothing,
      // The pyramid's 3x3x3 over the last stage and its four poolings, one a lateral level, the fusion of four levels.
      parameters: 27 * hidden * (11 * hidden + (widths.at(-1) as number)) + hidden * sumOf(widths),
      kept: 20 * hidden * finest + 3 * outputs * voxels,
      transient: Math.max(4 * hidden * finest, outputs * voxels),
    };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "upernet" }>>;
