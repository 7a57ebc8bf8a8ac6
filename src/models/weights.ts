import { TransferLimitsError } from "../common/errors.js";
import type { Network, ParameterInfo } from "../native/network.js";

const prefix = "encoder.";

/** How the names of the encoder's parameters begin in a network with a head. */
const encoderPrefixes = ({ spec }: Network): string[] =>
  "encoder" in spec && spec.encoder.family === "dino-vit"
    ? ["backbone.", "axis_pos.", "axis_max."]
    : [prefix];

const ofEncoder = (network: Network): ((parameter: ParameterInfo) => boolean) => {
  const prefixes = encoderPrefixes(network);
  return ({ name }) => prefixes.some((start) => name.startsWith(start));
};

/** How much of the encoder a file of weights must hold, as a share of its parameters. */
const leastCoverage = 0.95;

const elements = ({ shape }: ParameterInfo): number => shape.reduce((product, extent) => product * extent, 1);

/** How many parameters a network has, buffers not counted. */
export const parameterCount = (network: Network): number =>
  network.parameters.filter(({ buffer }) => !buffer).reduce((sum, parameter) => sum + elements(parameter), 0);

/** The names of the parameters that do not belong to the encoder. */
export const headParameters = (network: Network): string[] => {
  const isOfEncoder = ofEncoder(network);
  return network.parameters
    .filter((parameter) => !parameter.buffer && !isOfEncoder(parameter))
    .map(({ name }) => name);
};

/** Of these names, how many single parameters. */
export function countOf(network: Network, names: readonly string[]): number {
  const wanted = new Set(names);
  return network.parameters
    .filter(({ name }) => wanted.has(name))
    .reduce((sum, parameter) => sum + elements(parameter), 0);
}

/**
 * Loads the encoder of a network with a head from safetensors, whose names may or may not begin with `encoder.`;
 * anything else in the file is left alone, and so is the network's head.
 *
 * @throws `BAD_CHECKPOINT` when the file holds less than 95 % of the encoder's parameters
 */
export async function loadEncoder(network: Network, path: string): Promise<void> {
  const own = network.parameters.filter(ofEncoder(network));
  const known = new Set(own.map(({ name }) => name));
  const { loaded } = await network.loadCheckpoint(path, (name) => {
    const bare = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    return [bare, prefix + bare].find((target) => known.has(target)) ?? null;
  });
  const found = new Set(loaded);
  const missing = own.filter(({ name }) => !found.has(name));
  const total = own.reduce((sum, parameter) => sum + elements(parameter), 0);
  const lacking = missing.reduce((sum, parameter) => sum + elements(parameter), 0);
  if (total - lacking >= leastCoverage * total) return;
  const percent = (((total - lacking) / total) * 100).toFixed(1);
  throw new TransferLimitsError(
    "BAD_CHECKPOINT",
    `Expected at least ${leastCoverage * 100} % of the encoder's parameters in ${path} but found ${percent} %. ` +
      `Missing are ${missing.length} tensors, such as ${missing
        .slice(0, 3)
        .map(({ name }) => name)
        .join(", ")}. ` +
      "Do the weights belong to this encoder?",
  );
}
