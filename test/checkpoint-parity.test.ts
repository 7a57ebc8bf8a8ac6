import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { Network } from "../dist/models/network.js";
import { Tensor } from "../dist/native/tensor.js";
import { parity, parityInput, relativeError } from "./parity-inputs.js";
import { shared, sharedMissing } from "./shared.js";

const checkpoint = (...name: string[]) => shared("parity", "checkpoints", ...name);
const tolerance = 1e-4;

describe.skipIf(sharedMissing)(
  "published checkpoints in small (needs the shared folder beside the checkout)",
  () => {
    afterEach(() => expect(Tensor.live).toBe(0));

    const expected = (name: string) => parity("checkpoints/expected.json")[name];
    const convNeXt = ({ depths, dims }: { depths: number[]; dims: number[] }) =>
      ({ family: "convnext-v2-3d", channels: 3, depths, dims }) as Parameters<
        typeof Network.create
      >[0]["encoder"];

    it.each([
      ["profound_mae_small.pth.tar", "profound_mae_small", "profound-masked-autoencoder"],
      ["profound_mae_small.legacy.pth.tar", "profound_mae_small", "profound-masked-autoencoder"],
      ["profound_encoder_small.safetensors", "profound_encoder_small", "convnext-v2-3d"],
    ])("%s embeds as the published code does", async (file, name, keyMap) => {
      const { pooled, input, ...sizes } = expected(name);
      using network = await Network.create({ encoder: convNeXt(sizes), seed: 3 });
      const { missing, report } = await network.loadCheckpoint(checkpoint(file));
      expect(report.keyMap).toMatchObject({ name: keyMap, chosen: "detected" });
      expect(report.refusal).toBeNull();
      // The masked autoencoder trains without the last norm; nothing else may be missing.
      expect(missing).toEqual(name === "profound_mae_small" ? ["norm.weight", "norm.bias"] : []);
      expect(report.missing.every(({ expected: isExpected }) => isExpected)).toBe(true);
      expect(report.embedding?.change).toBeGreaterThan(0.1);
      using x = parityInput(input);
      const features = await network.embed(x);
      for (const stage of features.stages) stage.dispose();
      using answer = features.pooled;
      expect(relativeError((await answer.toArray()) as Float32Array, pooled.flat())).toBeLessThan(tolerance);
    });

    it("the classifier answers as the published code does, its head and batch norm too", async () => {
      const { logits, input, classes, ...sizes } = expected("profound_classifier_small");
      using network = await Network.create({
        encoder: convNeXt(sizes),
        head: { kind: "classifier", classes },
      });
      const { missing, unexpected, report } = await network.loadCheckpoint(
        checkpoint("profound_classifier_small.pth.tar"),
      );
      expect([missing, unexpected, report.coverage]).toEqual([
        [],
        [],
        { encoder: 1, encoderTensors: 1, network: 1 },
      ]);
      expect(report.keyMap.name).toBe("profound-classification");
      expect(report.file).toMatchObject({ state: "model", metadata: { epoch: 12 } });
      using x = parityInput(input);
      using answer = await network.forward(x);
      expect(relativeError((await answer.toArray()) as Float32Array, logits.flat())).toBeLessThan(tolerance);
    });

    it("ProViCNet answers as the published code does", async () => {
      const { embedDim, depth, heads, input, position, ...wanted } = expected("provicnet_small");
      const encoder = { family: "dino-vit", channels: 3, patch: 14, registers: 4, axisTokens: 2 } as const;
      using network = await Network.create({
        encoder: { ...encoder, embedDim, depth, heads },
        head: { kind: "conv1", outputs: 4 },
      });
      const { missing, unexpected, report } = await network.loadCheckpoint(checkpoint("provicnet_small.pth"));
      expect([missing, unexpected, report.keyMap.name]).toEqual([[], [], "provicnet"]);
      using x = parityInput(input);
      using at = Tensor.from(Float32Array.from(position.flat()), [2, 2]);
      const { tokens, pooled } = await network.embed(x, { position: at });
      const values = async (tensor: Tensor) => (await tensor.toArray()) as Float32Array;
      expect(relativeError(await values(tokens.cls), wanted.cls.flat())).toBeLessThan(tolerance);
      expect(relativeError(await values(pooled), wanted.patchMean.flat())).toBeLessThan(tolerance);
      using logits = await network.forward(x, { position: at });
      expect(logits.shape).toEqual(wanted.logitsShape);
      const answer = await values(logits);
      const mean = answer.reduce((sum, value) => sum + value, 0) / answer.length;
      const variance = answer.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (answer.length - 1);
      expect(Math.abs(mean - wanted.logitsMean)).toBeLessThan(tolerance);
      expect(Math.sqrt(variance) / wanted.logitsStd).toBeCloseTo(1, 3);
      for (const tensor of [pooled, ...Object.values(tokens)]) tensor.dispose();
    });

    it("odd tensors are exact, whatever their type, strides and offset", async () => {
      const file = await openCheckpoint(checkpoint("odd_tensors.pth"));
      const all = expected("odd_tensors") as Record<
        string,
        { dtype: string; shape: number[]; values: number[] }
      >;
      expect([...file.names].sort()).toEqual(Object.keys(all).sort());
      for (const [name, { dtype, shape, values }] of Object.entries(all)) {
        expect(file.info(name)).toEqual({ dtype, shape });
        using tensor = await file.tensor(name);
        expect([tensor.shape, Array.from(await tensor.toArray(), Number)]).toEqual([shape, values]);
      }
    });

    const causes: Record<string, RegExp> = {
      "empty.pth": /it is empty/,
      "header_too_long.safetensors": /header claims 1099511627776 bytes/,
      "nan_weights.pth": /not finite: stages\.0\.0\.pwconv1\.weight/,
      "offset_past_end.safetensors": /downsample_layers\.0\.0\.bias.*offsets are 0 to 8589934592/,
      "runs_code.pth": /"posix\.system".*refused/,
      "text.pth": /it is text/,
      "truncated.pth.tar": /no directory at its end; it was cut short/,
      "truncated.safetensors": /stages\.3\.0\.pwconv2\.weight.*offsets are 395904 to 461440 of 460440/,
      "wrong_shape.pth":
        /expected shape \[32, 8\] for stages\.0\.0\.pwconv1\.weight but received float32 \[7, 7\]/,
    };

    it("every bad file is known here", () => {
      expect(readdirSync(checkpoint("bad")).sort()).toEqual(Object.keys(causes).sort());
    });

    it.each(Object.keys(causes))(
      "%s is refused by its cause, runs nothing and takes little memory",
      async (name) => {
        using network = await Network.create({ encoder: convNeXt(expected("profound_mae_small")), seed: 1 });
        const before = await stateOf(network);
        const taken = { bytes: 0 };
        const { alloc, allocUnsafeSlow } = Buffer;
        const count = (size: number) => {
          taken.bytes += size;
        };
        vi.spyOn(Buffer, "alloc").mockImplementation((size, ...rest) => {
          count(size);
          return alloc(size, ...rest);
        });
        vi.spyOn(Buffer, "allocUnsafeSlow").mockImplementation((size) => {
          count(size);
          return allocUnsafeSlow(size);
        });
        try {
          await expect(network.loadCheckpoint(checkpoint("bad", name))).rejects.toMatchObject({
            code: "BAD_CHECKPOINT",
            message: expect.stringMatching(causes[name]),
          });
        } finally {
          vi.restoreAllMocks();
        }
        // Every buffer that a reader asks for, all of them added up: never as much as they may be at once.
        expect(taken.bytes).toBeLessThanOrEqual(2 * statSync(checkpoint("bad", name)).size);
        expect(existsSync("pwned_by_checkpoint")).toBe(false);
        expect(await stateOf(network)).toEqual(before);
      },
    );

    it("a hash of the file stands in the report", async () => {
      const { createHash } = await import("node:crypto");
      const path = checkpoint("profound_mae_small.pth.tar");
      const file = await openCheckpoint(path);
      expect(await file.sha256()).toBe(createHash("sha256").update(readFileSync(path)).digest("hex"));
    });
  },
);

async function stateOf(network: Network): Promise<Map<string, unknown>> {
  const state = await network.state();
  const values = new Map<string, unknown>();
  for (const [name, tensor] of Object.entries(state)) {
    values.set(name, await tensor.toArray());
    tensor.dispose();
  }
  return values;
}
