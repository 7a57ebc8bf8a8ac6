import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fuzz, readSeeds } from "../scripts/fuzz-checkpoints.mjs";
import {
  Storage,
  TorchTensor,
  torchLegacy,
  torchZip,
  torchZipFiles,
  type Value,
  zip,
} from "./torch-writer.js";

const folder = fileURLToPath(new URL("checkpoint-seeds", import.meta.url));

/** A training state with everything that the readers know. */
function trainingState(): Value {
  const bytes = new Uint8Array(Float32Array.from({ length: 24 }, (_, index) => index).buffer);
  const shared = new Storage("0", "FloatStorage", bytes, 4);
  const halves = new Storage("1", "HalfStorage", new Uint8Array([0, 60, 0, 192]), 2);
  const parameter = new TorchTensor(shared, [24], { parameter: true });
  const moments: Value = {
    dictionary: [
      ["exp_avg", new TorchTensor(shared, [24])],
      ["step", 3],
    ],
  };
  return {
    dictionary: [
      [
        "model",
        {
          ordered: [
            ["module.encoder.downsample_layers.0.0.weight", new TorchTensor(shared, [1, 3, 2, 2, 2])],
            ["module.encoder.stages.0.0.dwconv.kernel", new TorchTensor(shared, [8, 3], { strides: [1, 8] })],
            ["module.encoder.stages.0.0.norm.ln.weight", new TorchTensor(halves, [2])],
            ["module.slice", new TorchTensor(shared, [2, 3], { strides: [6, 2], offset: 7 })],
            ["module.parameter", parameter],
          ],
        },
      ],
      [
        "optimizer",
        {
          dictionary: [
            ["state", { dictionary: [[0, moments]] }],
            ["param_groups", [{ dictionary: [["lr", 0.001]] }]],
          ],
        },
      ],
      ["epoch", 12],
      [
        "args",
        {
          namespace: [
            ["name", "é"],
            ["size", { tuple: [64, 2 ** 40, -5] }],
            ["dtype", { global: ["torch", "float16"] }],
          ],
        },
      ],
      ["notes", [true, null, 3.25, "text", new Uint8Array([1, 200])]],
    ],
  };
}

function seedFiles(): Map<string, Buffer> {
  const numbers = (name: string): [string, TorchTensor] => [
    name,
    new TorchTensor(
      new Storage("0", "FloatStorage", new Uint8Array(Float32Array.of(1, 2, 3).buffer), 4),
      [3],
    ),
  ];
  const untyped = new Storage("0", "UntypedStorage", new Uint8Array([0x38, 0x40, 0xb8, 0x7e]), 1);
  const header = Buffer.from(
    '{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[],"data_offsets":[8,10]}}',
  );
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return new Map([
    ["training.zip.pth", torchZip(trainingState())],
    ["training.zip64.pth", zip(torchZipFiles(trainingState()), { large: true })],
    ["training.legacy.pth", torchLegacy(trainingState())],
    ["plain.zip.pth", torchZip({ ordered: [numbers("a")] })],
    ["plain.legacy.pth", torchLegacy({ ordered: [numbers("a")] })],
    [
      "untyped.zip.pth",
      torchZip({ ordered: [["a", new TorchTensor(untyped, [4], { dtype: "float8_e4m3fn" })]] }),
    ],
    ["two.safetensors", Buffer.concat([length, header, Buffer.alloc(10, 1)])],
    ["shards.index", Buffer.from('{"metadata":{"total_size":10},"weight_map":{"a":"two.safetensors"}}')],
  ]);
}

describe("the fuzzer of the readers of checkpoints", () => {
  it("has the seeds that the tests' own writer makes (TRANSFER_LIMITS_WRITE_SEEDS=1 writes them anew)", () => {
    const wanted = seedFiles();
    if (process.env.TRANSFER_LIMITS_WRITE_SEEDS === "1") {
      mkdirSync(folder, { recursive: true });
      for (const [name, bytes] of wanted) writeFileSync(join(folder, name), bytes);
    }
    const seeds = readSeeds();
    expect(seeds.map(({ name }) => name)).toEqual([...wanted.keys()].sort());
    for (const { name, bytes } of seeds)
      expect([name, bytes.equals(wanted.get(name) as Buffer)]).toEqual([name, true]);
  });

  it("finds nothing in a few thousand files, of which it gets some past every check", async () => {
    const { iterations, read, refused } = await fuzz({ iterations: 3000, seed: 7 });
    expect(read + refused).toBe(iterations);
    expect(read).toBeGreaterThan(100);
    expect(refused).toBeGreaterThan(1000);
  }, 300_000);
});
