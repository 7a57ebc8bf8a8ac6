import { describe, expect, it } from "vitest";
import { encoderArchitectures, specialisedArchitectures } from "../dist/models/architectures/index.js";
import { arrange, depthwiseConv3d, kernelSums, lossGradient } from "../dist/native/kernels.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { Tensor } from "../dist/native/tensor.js";
import { normalise, resample } from "../dist/native/volumes.js";

const encoder = { family: "resnet-3d", channels: 1, features: 4, blocks: [1, 1, 1, 1] };
const model = {
  family: "vit-3d",
  channels: 1,
  outputs: 1,
  patch: [8, 8, 8],
  embedDim: 8,
  depth: 1,
  heads: 1,
};

/** What there is on this side is what there is on the native one. */
const alternatives = (names: string[]): string => {
  const sorted = names.toSorted();
  return `${sorted.slice(0, -1).join(", ")} or ${sorted.at(-1)}`;
};

/** A call with a word that nobody knows, where one of `words` is expected for `name`. */
const settings: { name: string; words: string; use: (word: never) => Promise<unknown> }[] = [
  {
    name: "encoder.family",
    words: alternatives(Object.keys(encoderArchitectures)),
    use: (family) => PlacedNetwork.build({ encoder: { ...encoder, family } as never }),
  },
  {
    name: "head.kind",
    words: "classifier, upernet, unetr, subpixel, masked-autoencoder, conv1 or contrastive",
    use: (kind) => PlacedNetwork.build({ encoder, head: { kind, outputs: 1 } } as never),
  },
  {
    name: "model.family",
    words: alternatives(Object.keys(specialisedArchitectures)),
    use: (family) => PlacedNetwork.build({ model: { ...model, family } as never }),
  },
  {
    name: "loss.kind",
    words:
      "tversky, l1, cross-entropy, ssim, l1-ssim, masked-autoencoder, patch-contrast or self-distillation",
    use: (kind) => withTensor((tensor) => lossGradient({ kind }, tensor, tensor)),
  },
  {
    name: "precision",
    words: "float32, tf32 or bfloat16",
    use: (precision) =>
      withTensor(async (tensor) => {
        using network = await PlacedNetwork.build({ model } as never);
        network.precision = precision;
        return await network.forward(tensor);
      }),
  },
  {
    name: "products",
    words: "float32, int16, three-term-bfloat16 or bfloat16",
    use: (products) =>
      withTensor(async () => {
        using rows = Tensor.from(new Float32Array(8), [4, 2]);
        return await kernelSums(rows, rows, [1], { products });
      }),
  },
  {
    name: "dtype",
    words: "float32, float64, float16, bfloat16, int64 or uint8",
    use: (dtype) => withTensor((tensor) => depthwiseConv3d(tensor, tensor, tensor, null, dtype)),
  },
  {
    name: "layout",
    words: "contiguous, channels-last or strided",
    use: (layout) => withTensor((tensor) => arrange(tensor, layout)),
  },
  {
    name: "method",
    words: "mean or first",
    use: (method) => withTensor((tensor) => tensor.poolDepth(2, method)),
  },
  {
    name: "interpolation",
    words: "linear, nearest or label-linear",
    use: (interpolation) =>
      withTensor(async () => {
        using volume = Tensor.from(new Float32Array(8), [2, 2, 2]);
        const outputToInput = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
        return await resample(volume, { outputToInput, shape: [2, 2, 2], interpolation });
      }),
  },
  {
    name: "method.kind",
    words: "percentiles, range or z-score",
    use: (kind) => withTensor((tensor) => normalise(tensor, { kind })),
  },
];

async function withTensor(use: (tensor: Tensor) => Promise<unknown>): Promise<unknown> {
  using tensor = Tensor.from(new Float32Array(512), [1, 1, 8, 8, 8]);
  return await use(tensor);
}

describe("a setting that is one of several words", () => {
  it.each(settings)("is refused for $name with what it may be, when it is another", async (setting) => {
    const expected = `Expected ${setting.words} for ${setting.name} but received `;
    await expect(setting.use("cubist" as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(`${expected}cubist`),
    });
    await expect(setting.use("" as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(expected),
    });
    await expect(setting.use(7 as never)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining(`Expected a string for ${setting.name}`),
    });
  });
});
