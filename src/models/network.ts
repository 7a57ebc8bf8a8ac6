import { requireBoolean, requireOptions, requirePath, requireTexts } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { checked } from "../common/validation.js";
import type { HeadSpec, IntensityOutput } from "../native/network-spec.js";
import { PlacedNetwork } from "../native/placed-network.js";
import type { LoadReport } from "./checkpoints/load-report.js";
import { type LoadOptions, loadWeights } from "./checkpoints/load-weights.js";
import { ownMetadata } from "./checkpoints/own-weights.js";
import {
  type EncoderChoice,
  encoderOf,
  encoderSchema,
  headSchema,
  intensityOutputSchema,
  withoutUndefined,
} from "./specification.js";

/** What `Network.create` builds. */
export interface NetworkOptions {
  /** The name of a preset such as `"profound-tiny"`, or a specification. */
  encoder: EncoderChoice;
  /** What stands on the encoder; without one, the network only embeds. */
  head?: HeadSpec;
  /** The head answers with intensities by a softmax over bins; its `outputs` are then 1. Default: with them directly. */
  output?: IntensityOutput;
  /** `"cpu"` (default), `"cuda"` or `"cuda:1"`. */
  device?: string;
  /** Seeds the fresh weights; the encoder's are drawn first, so they do not depend on the head. Default 0. */
  seed?: number;
  /** Draws the weights of a TorchScript encoder too, in place of its file's. Default false. */
  drawn?: boolean;
}

/** A network on a device: an encoder, alone or with a head. */
export class Network extends PlacedNetwork {
  /**
   * Builds a network with fresh weights; a TorchScript encoder comes with those of its file.
   *
   * @example
   * import { Network, Tensor } from "transfer-limits";
   *
   * const network = await Network.create({ encoder: "profound-demo", head: { kind: "unetr", outputs: 1 } });
   * const x = Tensor.from(new Float32Array(3 * 32 ** 3), [1, 3, 32, 32, 32]); // [N, C, D, H, W]
   * const logits = await network.forward(x);
   * console.log(logits.shape); // [1, 1, 32, 32, 32]
   * for (const one of [logits, x, network]) one.dispose();
   *
   * @throws `BAD_INPUT` on an unknown preset or a specification that makes no sense; `BAD_CHECKPOINT` where a TorchScript
   *   file cannot be read, or is not the one that is trusted
   */
  static async create(options: NetworkOptions): Promise<Network> {
    requireOptions(options);
    const { device = "cpu", seed = 0, drawn = false } = options;
    if (!Number.isSafeInteger(seed) || seed < 0) throw expected("a whole number >= 0", "seed", seed);
    requireBoolean(drawn, "drawn");
    const encoder = encoderOf(checked(encoderSchema, options.encoder, "encoder"));
    const head =
      options.head === undefined
        ? undefined
        : (withoutUndefined(checked(headSchema, options.head, "head")) as HeadSpec);
    const output =
      options.output === undefined ? undefined : checked(intensityOutputSchema, options.output, "output");
    if (output && head === undefined) throw expected("a head, whose answer it is,", "output", output);
    const spec = { encoder, ...(head ? { head } : {}), ...(output ? { output } : {}) };
    return (await Network.build(spec, { device, seed, drawn })) as Network;
  }

  /**
   * Writes all parameters and buffers as safetensors, atomically, with what they are of and how they embed a fixed probe
   * volume, by which `loadCheckpoint` tells that they came back unharmed.
   */
  override async save(path: string, metadata: Record<string, string> = {}): Promise<void> {
    requirePath(path, "path");
    requireTexts(metadata, "metadata");
    await super.save(path, { ...metadata, ...(await ownMetadata(this)) });
  }

  /**
   * Loads weights from a file of PyTorch (`.pth`, `.pth.tar`, before and since version 1.6) or safetensors (one file or
   * the index of several), told by its contents, under the names of any source that is known: see `docs/checkpoints.md`.
   * Nothing in the file is run.
   *
   * @example
   * import { Network } from "transfer-limits";
   *
   * const network = await Network.create({ encoder: "profound-demo" });
   * await network.save("weights.safetensors");
   * const { loaded, missing } = await network.loadCheckpoint("weights.safetensors");
   * console.log(loaded.length, missing.length);
   * network.dispose();
   *
   * @returns the network's parameters that were loaded and those that keep their values, the file's tensors that were
   *   left over, and the whole report
   * @throws `BAD_CHECKPOINT` when the file cannot be read or holds too little of the encoder (see `LoadOptions`)
   */
  async loadCheckpoint(path: string, options: LoadOptions = {}): Promise<LoadSummary> {
    const report = await loadWeights(this, path, options);
    const names = (entries: readonly { name: string }[]) => entries.map(({ name }) => name);
    return {
      loaded: names(report.loaded),
      missing: names(report.missing),
      unexpected: names(report.leftOver),
      report,
    };
  }
}

/** What happened to the tensors of a file of weights. */
export interface LoadSummary {
  /** Parameters and buffers of the network that were loaded. */
  loaded: string[];
  /** Those that keep the values they had. */
  missing: string[];
  /** Tensors of the file that stand for none of them. */
  unexpected: string[];
  /** All of it, tensor by tensor. */
  report: LoadReport;
}
