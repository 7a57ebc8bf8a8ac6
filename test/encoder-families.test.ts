import { readFileSync } from "node:fs";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { architectureOf } from "../dist/models/architectures/index.js";
import { Network } from "../dist/models/network.js";
import type { EncoderSpec, HeadSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { filled, gradientsOf } from "./gradients.js";
import { fillParameters, relativeError, type Sample, sampleError } from "./parity-inputs.js";

interface Recorded {
  encoder: EncoderSpec;
  shape: number[];
  shapes: Record<string, number[]>;
  stages: Sample[];
  pooled: Sample;
  loss: number;
  gradients: Record<string, Sample>;
}
/** What dynamic-network-architectures and MONAI answer; made by encoder_families.py beside it. */
const recorded = JSON.parse(
  readFileSync(new URL("oracles/encoder_families.json", import.meta.url), "utf8"),
) as Record<"residual" | "flat" | "complete" | "repeated" | "dense", Recorded>;

const cases = [
  ["nnU-Net's residual encoder", recorded.residual],
  ["one whose first strides and kernels are flat", recorded.flat],
  ["MONAI's Swin UNETR", recorded.complete],
  ["Swin UNETR with the merging of MONAI until 1.3", recorded.repeated],
  ["MONAI's DenseNet", recorded.dense],
] as const;

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

describe("encoders of published packages", () => {
  it.each(cases)("answer as the package does: %s", async (_, { encoder, shape, shapes, stages, pooled }) => {
    using network = await Network.create({ encoder });
    const learnt = network.parameters.filter(({ buffer }) => !buffer);
    expect(Object.fromEntries(learnt.map(({ name, shape: own }) => [name, own]))).toEqual(shapes);
    await fillParameters(network);
    using input = filled("volumes", shape);
    using features = await network.embed(input);
    expect(features.stages.map((stage) => stage.shape)).toEqual(stages.map((stage) => stage.shape));
    for (const [index, stage] of features.stages.entries())
      expect(await sampleError(stage, stages[index] as Sample)).toBeLessThan(1e-4);
    expect(await sampleError(features.pooled, pooled)).toBeLessThan(1e-4);
    expect(architectureOf(encoder).widths(encoder)).toEqual(stages.map((stage) => stage.shape[1]));
  });

  it.each(cases)(
    "have the package's gradients: %s",
    async (_, { encoder, shape, pooled, loss, gradients }) => {
      using network = await Network.create({ encoder });
      await fillParameters(network);
      using input = filled("volumes", shape);
      using target = filled("target", pooled.shape);
      const step = await gradientsOf(network, { loss: { kind: "l1" } }, { input, target });
      expect(step.loss).toBeCloseTo(loss, 5);
      // A bias before a norm has no gradient but rounding: what each is compared with is the largest.
      const largest = Math.max(...Object.values(gradients).map(({ l2 }) => l2));
      // Rounding can turn a ReLU behind batch norm, and with it a thousandth of a small gradient; DenseNet has the most.
      const tolerated = encoder.family === "densenet-3d" ? 2e-3 : 1e-3;
      for (const [name, { index, value, l2 }] of Object.entries(gradients)) {
        const own = index.map((at) => (step.gradients[name] as Float32Array)[at] as number);
        if (l2 > 1e-3 * largest) expect([name, relativeError(own, value) < tolerated]).toEqual([name, true]);
        for (const [at, one] of own.entries())
          expect(Math.abs(one - (value[at] as number)) / largest).toBeLessThan(1e-4);
      }
    },
  );

  it.each([
    [{ kind: "classifier", classes: 3, bottleneck: 4 }, [2, 3]],
    [{ kind: "upernet", outputs: 2, hidden: 4, auxiliary: 4 }, [2, 2, 35, 40, 33]],
    [{ kind: "unetr", outputs: 2, featureSize: 2 }, [2, 2, 35, 40, 33]],
    [{ kind: "subpixel", outputs: 1, featureSize: 2 }, [2, 1, 70, 40, 33]],
  ] satisfies [HeadSpec, number[]][])("carry the head %o on volumes of any size", async (head, shape) => {
    for (const [, { encoder }] of cases) {
      using network = await Network.create({ encoder, head, seed: 1 });
      using input = filled("volumes", [2, encoder.channels, 35, 40, 33]);
      using answer = await network.forward(input);
      expect(answer.shape).toEqual(shape);
    }
  });
});
