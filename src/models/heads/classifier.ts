import { z } from "zod";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { HeadSpec } from "../../native/network-spec.js";
import { architectureOf } from "../architectures/index.js";
import { nothing } from "../architectures/size.js";
import { size } from "../architectures/sizes.js";
import { pass, product } from "../architectures/work.js";
import type { HeadKind } from "./head.js";

const publishedBottleneck = 256;

/** Classes, from the pooled features; the default is the one published with ProFound. */
export const classifier = {
  kind: "classifier",
  schema: section({ kind: z.literal("classifier"), classes: size, bottleneck: size.optional() }),
  batchNorm: (slices) => !slices,
  work: ({ classes, bottleneck = publishedBottleneck }, encoder) => {
    const width = architectureOf(encoder).widths(encoder).at(-1) as number;
    return [product(1, width, bottleneck), pass(5 * bottleneck, 3), product(1, bottleneck, classes)];
  },
  size: (_head, encoder) => {
    const width = sumOf(architectureOf(encoder).widths(encoder));
    return { ...nothing, parameters: 1000 * width, kept: width, transient: width };
  },
} as const satisfies HeadKind<Extract<HeadSpec, { kind: "classifier" }>>;
