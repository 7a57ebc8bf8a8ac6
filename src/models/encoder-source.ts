import { isDeepStrictEqual } from "node:util";
import { requirePath } from "../common/arguments.js";
import { expected, TransferLimitsError } from "../common/errors.js";
import { checked } from "../common/validation.js";
import type { EncoderSpec } from "../native/network-spec.js";
import { PlacedNetwork } from "../native/placed-network.js";
import { encoders } from "./catalogue.js";
import { openCheckpoint } from "./checkpoints/checkpoint-file.js";
import type { LoadReport } from "./checkpoints/load-report.js";
import { recordedEncoder } from "./checkpoints/own-weights.js";
import { Network } from "./network.js";
import { type EncoderChoice, encoderOf, encoderSchema } from "./specification.js";

/** Which encoder is meant: a network that is there already, or one to be built. */
export interface EncoderSource {
  /**
   * The name of a preset such as `"profound-tiny"`, a specification, or a network, which stays the caller's. Default: what
   * `weights` say of themselves, as files of this package do; of others, `"profound-tiny"`.
   */
  encoder?: EncoderChoice | Network;
  /**
   * The encoder's weights: any file that `Network.loadCheckpoint` reads, such as a pretraining's `encoder.safetensors`
   * or a cell's `best.safetensors`, whose head is left alone. Default: random weights, drawn from `seed`.
   */
  weights?: string;
  /** As in `LoadOptions`. */
  keyMap?: string;
  /** As in `LoadOptions`. */
  weightsState?: string;
  /** `"cpu"` (default), `"cuda"` or `"cuda:1"`. */
  device?: string;
  /** Seeds random weights. Default 0. */
  seed?: number;
}

/** An encoder that is ready; disposing of it leaves a network that was given alone. */
export interface OpenEncoder extends Disposable {
  network: PlacedNetwork;
  /** Whether it was built here: its weights are then random, or those of the report. */
  built: boolean;
  /** The preset's name, or the specification as JSON. */
  name: string;
  /** Of the weights that were loaded; null where none were. */
  report: LoadReport | null;
}

/**
 * Builds an encoder and loads its weights, or takes the network that is given.
 *
 * @throws `BAD_CHECKPOINT` where the weights do not fit, or say that they are of another encoder than is named, or of a
 *   network without one; `BAD_INPUT`
 */
export async function openEncoder(source: EncoderSource): Promise<OpenEncoder> {
  const { encoder: chosen, weights, keyMap, weightsState, device, seed } = source;
  if (chosen instanceof PlacedNetwork) {
    for (const [name, value] of Object.entries({ weights, keyMap, weightsState, device, seed }))
      if (value !== undefined)
        throw expected(`nothing beside a Network, which has its own ${name},`, name, value);
    const { spec } = chosen;
    if (!Object.hasOwn(chosen, "handle")) throw expected("a Network", "encoder", chosen);
    if (!("encoder" in spec))
      throw expected("a network with an encoder", "encoder", `a specialised model (${spec.model.family})`);
    return { network: chosen, built: false, name: nameOf(spec.encoder), report: null, [Symbol.dispose]() {} };
  }
  if (weights !== undefined) requirePath(weights, "weights");
  const named = chosen === undefined ? null : encoderOf(checked(encoderSchema, chosen, "encoder"));
  const recorded =
    weights === undefined ? null : recordedEncoder(await openCheckpoint(weights, { weightsState }), named);
  if (named !== null && recorded !== null && !isSame(named, recorded)) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `Expected weights of the encoder ${nameOf(named)} but ${weights} holds those of ${nameOf(recorded)}, as it says ` +
        "itself. Leave the encoder out, or name the file that is meant",
    );
  }
  const encoder = named ?? recorded ?? encoderOf("profound-tiny");
  const network = await Network.create({
    encoder,
    ...(device === undefined ? {} : { device }),
    ...(seed === undefined ? {} : { seed }),
  });
  try {
    const loaded =
      weights === undefined
        ? null
        : await network.loadCheckpoint(weights, { keyMap, weightsState, fresh: true });
    return {
      network,
      built: true,
      name: nameOf(encoder),
      report: loaded?.report ?? null,
      [Symbol.dispose]: () => network.dispose(),
    };
  } catch (error) {
    network.dispose();
    throw error;
  }
}

/** Whether two specifications are of one encoder: what is dropped in training has no weights. */
const isSame = (one: EncoderSpec, other: EncoderSpec): boolean =>
  isDeepStrictEqual({ ...one, dropPath: undefined }, { ...other, dropPath: undefined });

/** The name of the preset that an encoder is, or what it is as JSON. */
function nameOf(encoder: EncoderSpec): string {
  const preset = Object.entries(encoders).find(([, spec]) => isSame(spec as EncoderSpec, encoder));
  return preset?.[0] ?? JSON.stringify(encoder);
}
