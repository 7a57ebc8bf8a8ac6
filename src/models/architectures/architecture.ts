import type { z } from "zod";
import type { PretrainMethod } from "../../common/vocabulary.js";
import type { EncoderSpec, HeadSpec, ModelSpec } from "../../native/network-spec.js";
import type { KeyMap } from "../checkpoints/key-map.js";
import type { Size } from "./size.js";
import type { Extents, Work } from "./work.js";

/** The shapes of a file's tensors, under our names. */
export type Shapes = ReadonlyMap<string, readonly number[]>;

/** The encoder that a file's names and shapes speak of. */
export interface GuessedArchitecture {
  encoder: EncoderSpec;
  /** What of it no shape tells. */
  assumed: string[];
}

/** How the parameters of a family are called in a network with a head, apart from their blocks' own layers. */
export interface ParameterNames {
  /** How the encoder's begin. */
  encoder: readonly string[];
  /** Those of a block, up to the layer in it. */
  block: RegExp;
  /** Those of a norm. */
  norm: RegExp;
  /** Those after the last block, where there are any. */
  last?: RegExp;
  /** How the block's names begin with which a parameter outside of all blocks goes; null: it comes before the first. */
  goesWith?(name: string): string | null;
}

/**
 * Everything about a family of encoders that is not computed: `native/models/` has its network. What a number is of stands
 * at `NetworkSpec`.
 */
export interface EncoderArchitecture<Spec extends EncoderSpec = EncoderSpec> {
  readonly family: Spec["family"];
  readonly schema: z.ZodType;
  /** Specifications by name: the published size, and one for two CPU cores. */
  readonly presets: Readonly<Record<string, Readonly<Spec>>>;
  /** Whether it goes slice by slice, each with its neighbours, and can be pretrained on slices. */
  readonly slices: boolean;
  /** What answers voxel by voxel on it, the one that was published with it first. */
  readonly decoders: readonly [HeadSpec["kind"], ...HeadSpec["kind"][]];
  /** How it is pretrained, the default first. */
  readonly pretraining: readonly [PretrainMethod, ...PretrainMethod[]];
  /** What fine-tuning trains of it where a study does not say. */
  readonly finetune: "full" | "partial";
  /**
   * Voxels of the input from one of its deepest batch norm to the next, along the axis where they are most; null, as where it
   * is left out: it has no batch norm.
   */
  batchNormStride?(spec: Spec): number | null;
  /** Voxels from one position of its deepest map to the next, along an axis, where those are not 32. */
  readonly deepestStride?: number;
  readonly names: ParameterNames;
  /** Sources of weights that are known, of which the first that fits a file is taken: our own names last. */
  readonly keyMaps: readonly KeyMap[];
  /** Its specification names a file that holds it, with pretrained weights, so that a model needs no others. */
  readonly comesFromFile?: true;
  /** Of one that goes slice by slice: the edge of a patch in pixels. */
  patch?(spec: Spec): number;
  /** Likewise: whether it is told where a slice lies. */
  takesPosition?(spec: Spec): boolean;
  /** Voxels of a volume (height, width, depth) as it sees them, where those are not the volume's own. */
  voxelsSeen?(spec: Spec, extents: readonly [number, number, number]): number;
  /** Why heads that answer voxel by voxel cannot stand on this one; null, as where it is left out: they can. */
  refusesVoxels?(spec: Spec): string | null;
  /** How many blocks it has, of which `partial` trains the last. */
  blocks(spec: Spec): number;
  /** Features of the maps that a head stands on, finest first. */
  widths(spec: Spec): readonly number[];
  /** About how many parameters it has. */
  parameters(spec: Spec): number;
  /** What its features of one input take to compute. */
  work(spec: Spec, extents: Extents): Work;
  /** What training it takes in memory, for each case at once. */
  size(spec: Spec, voxels: number): Size;
  /** Tells it from the shapes of a file's tensors; null where they are not its. */
  guess(shapes: Shapes): GuessedArchitecture | null;
}

/** What a network must answer: classes or voxels, channels in and out, and how many slices out for each one in. */
export interface NetworkTask {
  answers: "voxels" | "classes";
  channels: number;
  outputs: number;
  depthScale: 1 | 2;
  /** Whether the last channel holds a time step. */
  timed?: true;
}

/** Everything about a family of specialised models that is not computed. */
export interface SpecialisedArchitecture<Spec extends ModelSpec = ModelSpec> {
  readonly family: Spec["family"];
  readonly schema: z.ZodType;
  /** Sizes by name: one as published or in common use, and one for two CPU cores. */
  readonly presets: Readonly<Record<string, unknown>>;
  /** What it can answer. */
  readonly answers: NetworkTask["answers"];
  /** Whether its answer can have twice the slices. */
  readonly doublesDepth: boolean;
  /** Whether it is for tasks with time steps alone. */
  readonly denoises: boolean;
  /** Whether batch norm stands in it. */
  readonly batchNorm: boolean;
  /** The sizes that a study names, completed by what a task asks for. */
  complete(sizes: never, task: NetworkTask): Spec;
  /** What an answer to one input takes to compute. */
  work(spec: Spec, extents: Extents): Work;
  /** What training it takes in memory, for each case at once. */
  size(spec: Spec, voxels: number): Size;
}

/** How many of `name(0)`, `name(1)`, ... there are, from 0 on without a gap. */
export function countFrom(shapes: Shapes, name: (index: number) => string): number {
  let count = 0;
  while (shapes.has(name(count))) count++;
  return count;
}

/** What every encoder of volumes with four feature maps can be used for. */
export const encoderOfVolumes = {
  slices: false,
  decoders: ["upernet", "unetr"],
  pretraining: ["masked-autoencoder"],
  finetune: "full",
} as const satisfies Partial<EncoderArchitecture>;
