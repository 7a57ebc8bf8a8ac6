import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { TorchScriptSpec } from "../dist/native/network-spec.js";
import type { ParityInput } from "./parity-inputs.js";

interface Recorded {
  sha256: string;
  input?: ParityInput;
  pooled?: { shape: number[]; values: number[] };
  stride8?: { shape: number[]; values: number[] };
  names?: string[];
}

/** Small TorchScript modules and what they answer in PyTorch; made by oracles/torchscript.py. */
export const modules = JSON.parse(
  readFileSync(new URL("oracles/torchscript.json", import.meta.url), "utf8"),
) as Record<string, Recorded>;

export const moduleFile = (name: string): string =>
  fileURLToPath(new URL(`oracles/torchscript/${name}.pt`, import.meta.url));

/** A trusted encoder of one channel and eight features of volumes, as most of them are. */
export const scriptEncoder = (name: string, changes: Partial<TorchScriptSpec> = {}): TorchScriptSpec => ({
  family: "torchscript",
  file: moduleFile(name),
  sha256: (modules[name] as Recorded).sha256,
  trust: true,
  channels: 1,
  input: "volume",
  features: 8,
  ...changes,
});

/** What `pyramid` returns. */
export const pyramidStages: NonNullable<TorchScriptSpec["stages"]> = [2, 4, 8, 16, 32].map(
  (stride, index) => ({
    channels: 2 + 2 * index,
    stride,
  }),
);
