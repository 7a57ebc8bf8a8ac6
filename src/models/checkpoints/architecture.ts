import type { ConvNeXtSpec, DinoVitSpec, EncoderSpec, ResNetEncoderSpec } from "../../native/network-spec.js";
import { elementsOf } from "../../native/stored-tensor.js";
import type { KeyMap } from "./key-map.js";
import { type Described, shapesUnderOurNames } from "./matching.js";

/** The encoder that a file's names and shapes speak of. */
export interface GuessedArchitecture {
  encoder: EncoderSpec;
  /** What of it no shape tells. */
  assumed: string[];
}

type Shapes = ReadonlyMap<string, readonly number[]>;

/** Features that an attention head usually has. */
const usualHead = 64;

/** Tells the encoder of a file from the shapes of its tensors; null where it is none that is known. */
export function guessArchitecture(file: Described, keyMap: KeyMap): GuessedArchitecture | null {
  const shapes = shapesUnderOurNames(file, keyMap);
  const guess = guesses[keyMap.family](shapes);
  if (guess === null) return null;
  return isHeldBy(file, guess.encoder) ? guess : null;
}

/**
 * Whether a file holds about as much as an encoder has: one that names a few large axes and holds little must not make
 * anyone build a network of that size.
 */
export function isHeldBy(file: Pick<Described, "names" | "stored">, encoder: EncoderSpec): boolean {
  const held = file.names.reduce((sum, name) => sum + elementsOf(file.stored(name).shape), 0);
  return sizeOf(encoder) <= 4 * held + 1_000_000;
}

/** How many of `prefix0`, `prefix1`, ... there are, from 0 on without a gap. */
function countFrom(shapes: Shapes, name: (index: number) => string): number {
  let count = 0;
  while (shapes.has(name(count))) count++;
  return count;
}

function convNeXt(shapes: Shapes): GuessedArchitecture | null {
  const stages = [0, 1, 2, 3].map((stage) => ({
    depth: countFrom(shapes, (block) => `encoder.stages.${stage}.${block}.norm.weight`),
    dim: shapes.get(`encoder.stages.${stage}.0.norm.weight`)?.at(-1),
  }));
  const channels = shapes.get("encoder.downsample_layers.0.0.weight")?.[1];
  if (channels === undefined || stages.some(({ depth, dim }) => depth === 0 || dim === undefined))
    return null;
  return {
    encoder: {
      family: "convnext-v2-3d",
      channels,
      depths: stages.map(({ depth }) => depth) as ConvNeXtSpec["depths"],
      dims: stages.map(({ dim }) => dim) as ConvNeXtSpec["dims"],
    },
    assumed: [],
  };
}

function resNet(shapes: Shapes): GuessedArchitecture | null {
  const [features, channels] = shapes.get("encoder.conv1.weight") ?? [];
  const blocks = [1, 2, 3, 4].map((stage) =>
    countFrom(shapes, (block) => `encoder.layer${stage}.${block}.conv3.weight`),
  );
  if (features === undefined || channels === undefined || blocks.includes(0)) return null;
  return {
    encoder: { family: "resnet-3d", channels, features, blocks: blocks as ResNetEncoderSpec["blocks"] },
    assumed: ["strides"],
  };
}

function visionTransformer(shapes: Shapes): GuessedArchitecture | null {
  const [embedDim, channels, patch, width] = shapes.get("backbone.patch_embed.proj.weight") ?? [];
  const depth = countFrom(shapes, (block) => `backbone.blocks.${block}.norm1.weight`);
  if (
    embedDim === undefined ||
    channels === undefined ||
    patch === undefined ||
    patch !== width ||
    depth === 0
  )
    return null;
  const heads = embedDim % usualHead === 0 ? embedDim / usualHead : 1;
  const encoder: DinoVitSpec = {
    family: "dino-vit",
    channels,
    patch,
    embedDim,
    depth,
    heads,
    registers: shapes.get("backbone.register_tokens")?.[1] ?? 0,
    axisTokens: shapes.has("axis_pos.weight") ? 2 : 0,
  };
  return { encoder, assumed: ["heads"] };
}

const guesses = {
  "convnext-v2-3d": convNeXt,
  "resnet-3d": resNet,
  "dino-vit": visionTransformer,
} satisfies Record<EncoderSpec["family"], (shapes: Shapes) => GuessedArchitecture | null>;

/** About how many parameters an encoder has. */
function sizeOf(encoder: EncoderSpec): number {
  if (encoder.family === "dino-vit") {
    const { embedDim, depth, channels, patch, registers } = encoder;
    return depth * 12 * embedDim ** 2 + embedDim * (channels * patch ** 2 + 1370 + registers);
  }
  if (encoder.family === "resnet-3d") {
    const { blocks, features, channels } = encoder;
    return blocks.reduce(
      (sum, count, stage) => sum + count * 35 * (features * 2 ** stage) ** 2,
      343 * channels * features,
    );
  }
  const { dims, depths, channels } = encoder;
  const blocks = dims.reduce(
    (sum, dim, stage) => sum + (depths[stage] as number) * (8 * dim ** 2 + 343 * dim),
    0,
  );
  const [first, second, third, fourth] = dims;
  return blocks + 64 * channels * first + 8 * first * second + 8 * second * third + third * fourth;
}
