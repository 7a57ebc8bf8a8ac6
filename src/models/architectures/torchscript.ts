import { statSync } from "node:fs";
import { z } from "zod";
import { describe } from "../../common/errors.js";
import { sumOf } from "../../common/numbers.js";
import { section } from "../../common/validation.js";
import type { ScriptStage, TorchScriptSpec } from "../../native/network-spec.js";
import { hasModuleOf } from "../checkpoints/script-modules.js";
import { type EncoderArchitecture, encoderOfVolumes } from "./architecture.js";
import { nothing } from "./size.js";
import { size } from "./sizes.js";
import { convolution, pass, times, volumeOf } from "./work.js";

const edge = size.max(256);

const stageSchema = section({ channels: size, stride: z.union([edge, z.tuple([edge, edge, edge])]) });

/** Why a file is not loaded that nobody vouched for, or not whole: with its name, and how to mend it. */
function distrust({ file, trust, sha256 }: { file: string; trust: unknown; sha256: unknown }) {
  if (trust !== true)
    return {
      path: ["trust"],
      message:
        `expected true, as the TorchScript module ${file} runs code, but received ${trust === undefined ? "nothing" : describe(trust)}: ` +
        "it is loaded only where you say that you trust the file with the SHA-256 beside it",
    };
  if (typeof sha256 === "string" && /^[0-9a-fA-F]{64}$/.test(sha256)) return null;
  return {
    path: ["sha256"],
    message:
      `expected the SHA-256 of ${file} as 64 hexadecimal digits, which sha256sum and the command inspect print, but received ` +
      `${sha256 === undefined ? "nothing" : describe(sha256)}: only the file that you trust is loaded`,
  };
}

/** Strides of a stage along depth, height and width. */
const stridesOf = ({ stride }: ScriptStage, input: TorchScriptSpec["input"]): readonly number[] =>
  typeof stride === "number" ? [input === "slices" ? 1 : stride, stride, stride] : stride;

/** Voxels of the input for each position of a stage. */
const voxelsPerPosition = (stage: ScriptStage, input: TorchScriptSpec["input"]): number =>
  stridesOf(stage, input).reduce((product, stride) => product * stride, 1);

/**
 * A batch norm is told from the file, nothing else of it: it may stand anywhere up to the deepest map, and behind pooling
 * where no maps are declared.
 */
function batchNormStride({ file, stages, input }: TorchScriptSpec): number | null {
  if (!hasModuleOf(file, "BatchNorm")) return null;
  if (!stages) return Number.POSITIVE_INFINITY;
  return Math.max(...stages.flatMap((stage) => stridesOf(stage, input)));
}

/** Where nothing is said of maps, a network is taken for one of patches of this edge, the usual one. */
const assumedStride = 16;

const stagesOf = ({ stages, features, input }: TorchScriptSpec): { channels: number; volume: number }[] =>
  stages
    ? stages.map((stage) => ({ channels: stage.channels, volume: voxelsPerPosition(stage, input) }))
    : [
        {
          channels: features,
          volume: voxelsPerPosition({ channels: features, stride: assumedStride }, input),
        },
      ];

/** Parameters as the file's size tells, which holds little else; where it cannot be looked at, those of a small ResNet. */
function parametersOf({ file }: TorchScriptSpec): number {
  try {
    return statSync(file).size / 4;
  } catch {
    return 1e7;
  }
}

/** The parameters of each stage: those of a layer grow with the square of its channels. */
function perStage(spec: TorchScriptSpec) {
  const stages = stagesOf(spec);
  const squares = sumOf(stages.map(({ channels }) => channels ** 2));
  return stages.map(({ channels, volume }) => {
    const parameters = (parametersOf(spec) * channels ** 2) / squares;
    return { channels, volume, parameters };
  });
}

/** The strides that decoders stand on, but the deepest, which follows the module's own. */
const upperStrides = [4, 8, 16] as const;

/** Which declared map is brought to each of the four strides, as `native/models/torchscript.cc` chooses: the closest in the plane. */
function chosenStages({ stages, input }: TorchScriptSpec): ScriptStage[] {
  if (!stages) return [];
  const inPlane = stages.map((stage) => stridesOf(stage, input).slice(1) as [number, number]);
  const deepest = Math.max(...inPlane.flat()) >= 32 ? 32 : 16;
  return [...upperStrides, deepest].map((stride) => {
    const apart = inPlane.map(([height, width]) =>
      Math.abs(Math.log2(height * width) / 2 - Math.log2(stride)),
    );
    return stages[apart.indexOf(Math.min(...apart))] as ScriptStage;
  });
}

/**
 * Any encoder that PyTorch exported as TorchScript. What it computes is not known here: cost and memory are estimated from
 * the size of its file and the maps that it declares, within a factor of a few.
 */
export const torchScript = {
  family: "torchscript",
  schema: section({
    family: z.literal("torchscript"),
    file: z.string().min(1),
    // What is missing of both is said by `distrust`, in more words.
    sha256: z.custom<string>().optional(),
    trust: z.custom<true>().optional(),
    channels: size.max(4096),
    input: z.enum(["volume", "slices"]),
    features: size,
    stages: z.array(stageSchema).min(1).max(64).optional(),
  }).superRefine(({ file, trust, sha256, features, stages }, context) => {
    const fault = distrust({ file, trust, sha256 });
    if (fault !== null) context.addIssue({ code: "custom", ...fault });
    const last = stages?.at(-1)?.channels;
    if (last !== undefined && last !== features)
      context.addIssue({
        code: "custom",
        path: ["features"],
        message: `expected ${last}, the channels of the last of stages, over whose positions the features are the mean, but received ${features}`,
      });
  }),
  presets: {},
  // Slices are looked at one by one, and a volume's channels repeated as for any encoder of volumes.
  ...encoderOfVolumes,
  batchNormStride,
  names: {
    encoder: ["encoder."],
    // Each module with parameters of its own counts as one, in the order of the file.
    block: /^encoder\.(?:.+\.)?(?=[^.]+$)/,
    norm: /\.[^.]*(?:norm|bn|ln_)[^.]*\.(?:weight|bias)$/i,
  },
  keyMaps: [
    {
      name: "torchscript",
      title: "a TorchScript module under its own names",
      family: "torchscript",
      // Names tell nothing of which module they are of.
      signs: [{ name: "^(?!)" }],
      rules: [],
    },
  ],
  comesFromFile: true,
  refusesVoxels: ({ file, stages }) =>
    stages !== undefined
      ? null
      : `expected the feature maps that ${file} returns, each with channels and stride, as decoders stand on them, but received ` +
        "none: with pooled features alone it can classify. Export it so that it returns its maps, and declare them",
  /** About: layers of the square of their channels, three dozen of them a kernel at the most. */
  blocks: (spec) =>
    Math.max(
      1,
      Math.round(sumOf(perStage(spec).map(({ parameters, channels }) => parameters / (8 * channels ** 2)))),
    ),
  widths: (spec) => (spec.stages ? chosenStages(spec).map(({ channels }) => channels) : [spec.features]),
  parameters: parametersOf,
  /** Each parameter works once at each position of its stage, as in layers of a transformer, or convolutions. */
  work: (spec, extents) =>
    perStage(spec).flatMap(({ parameters, channels, volume }) => {
      const positions = volumeOf(extents) / volume;
      const layers = Math.max(2, parameters / (12 * channels ** 2));
      return times(layers, [
        convolution(positions, channels, channels, parameters / layers / channels ** 2),
        pass(10 * positions * channels, 3),
      ]);
    }),
  /** As a convolution 3x3x3 with norm and activation for each 27 squares of the channels, or a transformer's for each 12. */
  size(spec, voxels) {
    const kept = perStage(spec).map(({ channels, volume, parameters }) => {
      const layers = Math.max(2, parameters / (12 * channels ** 2));
      return (22 * layers * channels * voxels) / volume;
    });
    return {
      ...nothing,
      parameters: parametersOf(spec),
      kept: sumOf(kept) + spec.channels * voxels,
      transient: Math.max(...kept) / 2,
    };
  },
  // The file itself is told by its own reader; weights alone do not tell which module they are of.
  guess: () => null,
} as const satisfies EncoderArchitecture<TorchScriptSpec>;
