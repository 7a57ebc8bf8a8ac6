import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { inspectWeights } from "../dist/cli/inspect-weights.js";
import { Network } from "../dist/models/network.js";
import type { EncoderSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";

const named = process.env.TRANSFER_LIMITS_PYTHON_TORCH ?? "python3";
const python = named === "1" ? "python3" : named;
const folder = mkdtempSync(join(tmpdir(), "published-checkpoints-"));
const oracle = fileURLToPath(new URL("oracles/published_checkpoints.py", import.meta.url));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => expect(Tensor.live).toBe(0));

const hasPackages =
  named !== "0" &&
  spawnSync(python, ["-c", "import torch, monai, safetensors, dynamic_network_architectures"], {
    timeout: 240_000,
  }).status === 0;

function run(mode: string, ...more: string[]): string {
  const { stdout, stderr, status } = spawnSync(python, [oracle, mode, folder, ...more], { encoding: "utf8" });
  expect(status, stderr).toBe(0);
  return stdout;
}

/** What the package that wrote a file answers: the means of its last four maps. */
const answerOf = (name: string) =>
  JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8")) as {
    encoder: EncoderSpec;
    shape: number[];
    means: number[][];
  };

const file = (name: string) => join(folder, `${name}.pth`);

/** What of a file stands for nothing: the first parts of its names, without numbers. */
const leftOf = (names: readonly { name: string }[]) =>
  [...new Set(names.map(({ name }) => name.replace(/^(?:module|_orig_mod)\./g, "").split(".")[0]))].sort();

const twice = ["decoder", "encoder"];
const unet = ["decoder1", "decoder2", "decoder3", "decoder4", "decoder5", "encoder1", "encoder10"];
const whole = [...unet, "encoder2", "encoder3", "encoder4", "out"];
/** Files by who writes them, where their weights lie, and what of them is left over. */
const files: [name: string, state: string, left: string[]][] = [
  ["openmind-mae", "network_weights", twice],
  ["in-training", "network_weights", twice],
  ["spark", "network_weights", twice],
  ["voco", "network_weights", ["encoder", "projector"]],
  ["gvsl", "network_weights", ["aff_rot", "backbone"]],
  ["pcrl", "network_weights", ["encoder", "network", "predictor_heads"]],
  ["compiled", "network_weights", ["_orig_mod"]],
  ["flat", "network_weights", twice],
  [
    "swin-release",
    "state_dict",
    ["contrastive_head", "convTrans3d", "layers1", "layers2", "layers3", "layers4", "norm", "rotation_head"],
  ],
  ["swin-whole", "state_dict", [...whole, "swinViT"]],
  ["swin-old", "", [...whole, "swin_vit"]],
  ["swin-backbone", "state_dict", ["backbone"]],
  ["swin-disruptive", "model", ["encoder"]],
];

describe.skipIf(!hasPackages)("files of weights as nnssl, OpenMind, nnU-Net and MONAI write them", () => {
  beforeAll(() => {
    setThreads(1);
    run("write");
  }, 1_200_000);

  it.each(files)(
    "%s loads whole, answers as the package does, and is recognised",
    async (name, state, left) => {
      const { encoder, shape, means } = answerOf(name);
      using network = await Network.create({ encoder, seed: 9 });
      const { report, missing } = await network.loadCheckpoint(file(name));
      expect(report.coverage).toEqual({ encoder: 1, encoderTensors: 1, network: 1 });
      expect(report.keyMap).toMatchObject({ name: encoder.family, chosen: "detected" });
      expect(report.file.state).toBe(state);
      expect(missing).toEqual([]);
      expect(leftOf(report.leftOver)).toEqual(left);
      // Of the encoder nothing is left but what is named once more, and what is computed; PCRL's stands in its file twice.
      for (const { name: extra } of name === "pcrl" ? [] : report.leftOver)
        if (/^(?:encoder\.)?(?:stem|stages)\.|^(?:swinViT|swin_vit)\./.test(extra))
          expect(extra).toMatch(/\.all_modules\.|\.relative_position_index$/);

      const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i / 10));
      using input = Tensor.from(values, shape);
      using features = await network.embed(input);
      for (const [stage, map] of features.stages.entries()) {
        const numbers = (await map.toArray()) as Float32Array;
        const wanted = means[stage] as number[];
        const each = numbers.length / wanted.length;
        for (const [feature, mean] of wanted.entries()) {
          const own =
            numbers.subarray(feature * each, (feature + 1) * each).reduce((sum, one) => sum + one, 0) / each;
          expect(Math.abs(own - mean)).toBeLessThan(1e-4);
        }
      }
      const inspected = await inspectWeights(file(name));
      const {
        strides: _,
        merging: __,
        ...sizes
      } = (inspected.architecture?.encoder ?? {}) as Record<string, unknown>;
      const { strides: ___, ...expected } = encoder as unknown as Record<string, unknown>;
      expect(sizes).toEqual(expected);
      expect(inspected.keyMaps[0]).toMatchObject({ name: encoder.family, coverage: 1 });

      await network.save(join(folder, `${name}.safetensors`));
    },
    120_000,
  );

  it("goes back into its package by the lines of docs/encoders.md, strictly, and answers as before", () => {
    const page = readFileSync(new URL("../docs/encoders.md", import.meta.url), "utf8");
    const blocks = [...page.matchAll(/```python\n(.*?)```/gs)].map(([, code = ""]) => code);
    const lines = blocks.find((code) => code.includes("load_file(")) ?? "";
    expect(lines).toContain("strict=True");
    const back = [...run("back", lines).matchAll(/^BACK (\S+) (\S+)$/gm)];
    expect(back.map(([, name]) => name)).toEqual(files.map(([name]) => name));
    for (const [, name, furthest] of back) expect([name, Number(furthest) < 1e-5]).toEqual([name, true]);
  }, 1_200_000);

  it("is refused where it is Swin UNETR's second version, whose stages begin with a convolution", async () => {
    using network = await Network.create({ encoder: answerOf("swin-v2").encoder });
    await expect(network.loadCheckpoint(file("swin-v2"))).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/second version.*layers1c.*TorchScript/),
    });
  });
});
