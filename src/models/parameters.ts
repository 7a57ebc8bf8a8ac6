import { expected } from "../common/errors.js";
import { productOf } from "../common/numbers.js";
import type { ParameterInfo, PlacedNetwork } from "../native/placed-network.js";
import { disposeNamed, Tensor } from "../native/tensor.js";
import type { ParameterNames } from "./architectures/architecture.js";
import { architectureOf } from "./architectures/index.js";
import { ofEncoder } from "./encoder-names.js";

const elements = ({ shape }: ParameterInfo): number => productOf(shape);

/** How many parameters a network has, buffers not counted. */
export const parameterCount = (network: PlacedNetwork): number =>
  network.parameters.filter(({ buffer }) => !buffer).reduce((sum, parameter) => sum + elements(parameter), 0);

/**
 * How many single parameters of a TorchScript encoder are drawn by the rule of their kind of module, and how many shuffled;
 * nothing for an encoder whose every layer is known.
 */
export function howDrawn(network: PlacedNetwork): { drawn?: { byRule: number; shuffled: number } } {
  const of = (kind: "by-rule" | "shuffled") => network.parameters.filter(({ drawn }) => drawn === kind);
  const total = (list: readonly ParameterInfo[]) => list.reduce((sum, one) => sum + elements(one), 0);
  const drawn = { byRule: total(of("by-rule")), shuffled: total(of("shuffled")) };
  return drawn.byRule + drawn.shuffled === 0 ? {} : { drawn };
}

/** The names of the encoder's parameters and buffers. */
export const encoderParameters = (network: PlacedNetwork): string[] =>
  network.parameters.filter(ofEncoder(network)).map(({ name }) => name);

/** The names of the parameters that do not belong to the encoder. */
export const headParameters = (network: PlacedNetwork): string[] => {
  const isOfEncoder = ofEncoder(network);
  return network.parameters
    .filter((parameter) => !parameter.buffer && !isOfEncoder(parameter))
    .map(({ name }) => name);
};

/** The names of the encoder's parameters without its buffers, and how its blocks' names begin, from the first on. */
function encoderBlocks(network: PlacedNetwork): {
  names: string[];
  blocks: string[];
  called: ParameterNames | null;
} {
  const called = "encoder" in network.spec ? architectureOf(network.spec.encoder).names : null;
  const own = network.parameters.filter(ofEncoder(network)).filter(({ buffer }) => !buffer);
  const names = own.map(({ name }) => name);
  return {
    names,
    blocks: [...new Set(names.flatMap((name) => called?.block.exec(name)?.[0] ?? []))],
    called,
  };
}

/**
 * The names of the encoder's last `blocks` blocks' parameters, and of every norm of the encoder: what ProViCNet
 * fine-tunes beside its head.
 */
export function lastBlocksAndNorms(network: PlacedNetwork, blocks: number): string[] {
  const { names, blocks: order, called } = encoderBlocks(network);
  const last = order.slice(Math.max(0, order.length - blocks));
  return names.filter((name) => called?.norm.test(name) || last.some((prefix) => name.startsWith(prefix)));
}

/** The bias of the layer that answers voxel by voxel, of every head and specialised model; UperNet has two such layers. */
const answerBias =
  /^(?:(?:decode|auxiliary)_head\.classifier|decoder\.out\.conv\.conv|head\.out|head\.segmentation_conv\.9|out|reconstruct)\.bias$/;

/**
 * Gives a network that answers with one logit a voxel the answer `share` to start from (Lin et al. 2017): the bias of its
 * last layer becomes logit(`share`). Where what is looked for is small, training otherwise spends its first epochs on
 * learning just that.
 *
 * @param share probability of a voxel, above 0 and below 1
 * @throws `BAD_INPUT` for a network that does not answer voxel by voxel
 */
export async function startAnswersAt(network: PlacedNetwork, share: number): Promise<void> {
  const biases = network.parameters.filter(({ name }) => answerBias.test(name));
  if (biases.length === 0) throw expected("a network that answers voxel by voxel", "network", network.spec);
  const logit = Math.log(share / (1 - share));
  const values: Record<string, Tensor> = {};
  try {
    for (const { name, shape } of biases) {
      values[name] = Tensor.from(new Float32Array(shape[0] as number).fill(logit), shape, network.device);
    }
    await network.assign(values);
  } finally {
    disposeNamed(values);
  }
}

/**
 * Layer-wise learning-rate decay (Clark et al. 2020; Bao et al. 2022): what each parameter of the encoder's rate is
 * multiplied with. The last block has `decay`, the one before it `decay`², and so on down to the embedding; the final
 * norm and the head keep their rate. What stands between two stages of a ConvNeXt goes with the stage's first block.
 */
export function layerwiseRates(network: PlacedNetwork, decay: number): Record<string, number> {
  const { names, blocks, called } = encoderBlocks(network);
  const layerOf = (name: string): number => {
    if (called?.last?.test(name)) return blocks.length + 1;
    const block = called?.goesWith?.(name) ?? called?.block.exec(name)?.[0];
    return block === undefined ? 0 : blocks.indexOf(block) + 1;
  };
  return Object.fromEntries(names.map((name) => [name, decay ** (blocks.length + 1 - layerOf(name))]));
}

/** Of these names, how many single parameters. */
export function countOf(network: PlacedNetwork, names: readonly string[]): number {
  const wanted = new Set(names);
  return network.parameters
    .filter(({ name }) => wanted.has(name))
    .reduce((sum, parameter) => sum + elements(parameter), 0);
}
