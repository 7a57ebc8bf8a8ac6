import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inspectWeights } from "../dist/cli/inspect-weights.js";
import { keyMaps } from "../dist/models/checkpoints/key-maps/index.js";
import { Network, type NetworkOptions } from "../dist/models/network.js";
import type { ConvNeXtSpec, ResNetEncoderSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { type State, sparseKernel, stateOf, writeForeign } from "./foreign-weights.js";
import { relativeError } from "./parity-inputs.js";
import { temporaryFolder } from "./temporary-folder.js";

const convNeXt: ConvNeXtSpec = {
  family: "convnext-v2-3d",
  channels: 3,
  depths: [1, 1, 2, 1],
  dims: [4, 6, 8, 10],
};
const vision = {
  family: "dino-vit",
  channels: 3,
  patch: 14,
  embedDim: 12,
  depth: 2,
  heads: 3,
  registers: 4,
} as const;

let path: string;
beforeEach(async () => {
  path = join(await temporaryFolder(), "weights.pth");
});
afterEach(() => expect(Tensor.live).toBe(0));

async function drawn(options: Omit<NetworkOptions, "seed">): Promise<State> {
  using network = await Network.create({ ...options, seed: 1 } as NetworkOptions);
  return stateOf(network);
}

/** Loads the file into a network with other weights; the report, and the network's state after. */
async function loaded(options: NetworkOptions, load: Parameters<Network["loadCheckpoint"]>[1] = {}) {
  using network = await Network.create({ ...options, seed: 2 });
  const { report } = await network.loadCheckpoint(path, load);
  return { report, state: await stateOf(network) };
}

/** Expects every tensor of `after` to be that of `before`, but for those named. */
function expectSame(after: State, before: State, except: RegExp = /^$/) {
  for (const [name, tensor] of after) {
    if (!except.test(name)) expect([name, tensor]).toEqual([name, before.get(name)]);
  }
}

const linear = /(?:pwconv[12])\.(weight|bias)$/;
const norm = /(?:norm|downsample_layers\.[123]\.0)\.(weight|bias)$/;
const kernel = /(?:dwconv|downsample_layers\.[123]\.1)\.weight$/;

/** The name and layout of a tensor in a masked autoencoder with sparse convolutions. */
function sparse(
  name: string,
  { shape, values }: { shape: number[]; values: number[] },
): [string, number[], number[]] {
  const [out, inner, ...edges] = shape;
  if (kernel.test(name)) {
    const positions = edges.reduce((product, edge) => product * edge, 1);
    const form = positions === 1 ? [inner, out] : inner === 1 ? [positions, out] : [positions, inner, out];
    return [name.replace(/weight$/, "kernel"), form, sparseKernel(shape, values)];
  }
  if (linear.test(name)) return [name.replace(/(weight|bias)$/, "linear.$1"), shape, values];
  if (norm.test(name)) return [name.replace(/(weight|bias)$/, "ln.$1"), shape, values];
  return [name, /bias$|grn/.test(name) ? [1, values.length] : shape, values];
}

describe("the key map of ProFound's masked autoencoder", () => {
  it("brings sparse kernels into our order, and knows that the last norm is absent", async () => {
    const state = await drawn({ encoder: convNeXt, head: { kind: "masked-autoencoder", decoderDim: 4 } });
    await writeForeign(path, state, (name, tensor) => {
      if (/^encoder\.norm\./.test(name)) return null;
      return name.startsWith("encoder.downsample_layers.0.") || !name.startsWith("encoder.")
        ? [name, tensor.shape, tensor.values]
        : sparse(name, tensor);
    });
    const { report, state: after } = await loaded({
      encoder: convNeXt,
      head: { kind: "masked-autoencoder", decoderDim: 4 },
    });
    expect(report.keyMap).toMatchObject({ name: "profound-masked-autoencoder", chosen: "detected" });
    expectSame(after, state, /^encoder\.norm\./);
    expect(report.missing).toEqual([
      { name: "encoder.norm.weight", shape: [10], expected: true },
      { name: "encoder.norm.bias", shape: [10], expected: true },
    ]);
    expect(report.loaded.find(({ name }) => name === "encoder.stages.0.0.dwconv.weight")).toEqual({
      name: "encoder.stages.0.0.dwconv.weight",
      from: "encoder.stages.0.0.dwconv.kernel",
      shape: [4, 1, 7, 7, 7],
      storedAs: "float32",
      storedShape: [343, 4],
      change: "the kernel of a sparse convolution",
    });
  });
});

describe("key maps whose names are ours", () => {
  it.each([
    ["profound-classification", { kind: "classifier", classes: 3 }, convNeXt],
    ["profound-segmentation-upernet", { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 }, convNeXt],
    ["profound-segmentation-unetr", { kind: "unetr", outputs: 1, featureSize: 4 }, convNeXt],
    ["provicnet", { kind: "conv1", outputs: 4 }, { ...vision, axisTokens: 2 }],
    [
      "provicnet-contrastive",
      { kind: "contrastive", outputs: 4, hidden: 8, bottleneck: 4, prototypes: 6 },
      { ...vision, axisTokens: 2 },
    ],
    ["convnext-v2-3d", undefined, convNeXt],
    ["dino-vit", undefined, { ...vision, registers: 0, axisTokens: 0 }],
  ])("%s is told from the names, wrapped or not, and covers all", async (keyMap, head, encoder) => {
    const options = { encoder, ...(head && { head }) } as NetworkOptions;
    const state = await drawn(options);
    for (const wrapper of ["", "module.", "module._orig_mod.model."]) {
      await writeForeign(path, state, (name, { shape, values }) => [wrapper + name, shape, values]);
      const { report, state: after } = await loaded(options);
      expect(report.keyMap).toMatchObject({ name: keyMap, chosen: "detected" });
      expect(report.file).toMatchObject({ state: "model", prefix: wrapper });
      expect(report.coverage).toEqual({ encoder: 1, encoderTensors: 1, network: 1 });
      expectSame(after, state);
    }
  });

  it("ProViCNet's reads the names that newer versions of PyTorch give a normalised weight", async () => {
    const head = { kind: "contrastive", outputs: 4, hidden: 8, bottleneck: 4, prototypes: 6 } as const;
    const encoder = { ...vision, axisTokens: 2 } as const;
    const state = await drawn({ encoder, head });
    await writeForeign(path, state, (name, { shape, values }) => [
      name
        .replace(/weight_g$/, "parametrizations.weight.original0")
        .replace(/weight_v$/, "parametrizations.weight.original1"),
      shape,
      values,
    ]);
    expectSame((await loaded({ encoder, head })).state, state);
  });
});

describe("the key map of DINOv2 with registers", () => {
  it.each([
    ["as published", (name: string) => name.replace(/^backbone\./, "")],
    [
      "in chunks",
      (name: string) => name.replace(/^backbone\.blocks\.(\d)/, "blocks.0.$1").replace(/^backbone\./, ""),
    ],
    ["of a teacher", (name: string) => `teacher.${name}`],
  ])("reads names %s, and leaves the axis tokens as they are", async (_what, rename) => {
    const encoder = { ...vision, axisTokens: 2 } as const;
    const state = await drawn({ encoder });
    await writeForeign(path, state, (name, { shape, values }) =>
      name.startsWith("axis_") ? null : [rename(name), shape, values],
    );
    const { report, state: after } = await loaded({ encoder });
    expect(report.keyMap).toMatchObject({ name: "dinov2-registers", chosen: "detected" });
    expectSame(after, state, /^axis_/);
    expect(report.missing.every(({ expected: isExpected }) => isExpected)).toBe(true);
    expect(report.missing).toHaveLength(4);
  });
});

describe("the key maps of ConvNeXt V2 of images", () => {
  /** The state of a network for images: what is a volume's kernel has no depth, and the last downsampling is 2 x 2. */
  async function imageState(): Promise<State> {
    const volume = await drawn({ encoder: convNeXt });
    const image: State = new Map();
    for (const [name, { shape, values }] of volume) {
      if (shape.length !== 5 || name.includes("grn")) {
        image.set(name, { shape, values });
        continue;
      }
      const [out, inner, depth] = shape;
      const edge = name.startsWith("downsample_layers.3.1.") ? 2 : depth;
      const count = out * inner * edge ** 2;
      image.set(name, {
        shape: [out, inner, edge, edge],
        values: Array.from({ length: count }, (_, index) => Math.fround(Math.sin(index + name.length))),
      });
    }
    return image;
  }

  const toSparse = (name: string, tensor: { shape: number[]; values: number[] }) => {
    if (name.startsWith("downsample_layers.0."))
      return [`encoder.${name}`, tensor.shape, tensor.values] as [string, number[], number[]];
    const [renamed, shape, values] = sparse(name, tensor);
    return [`encoder.${renamed}`, shape, values] as [string, number[], number[]];
  };
  const toTimm = (name: string) =>
    name
      .replace(/^downsample_layers\.0\./, "stem.")
      .replace(/^downsample_layers\.(\d)\./, "stages.$1.downsample.")
      .replace(/^stages\.(\d)\.(\d+)\./, "stages.$1.blocks.$2.")
      .replace("dwconv", "conv_dw")
      .replace(/pwconv([12])/, "mlp.fc$1")
      .replace("grn.gamma", "mlp.grn.weight")
      .replace("grn.beta", "mlp.grn.bias")
      .replace(/^norm\./, "head.norm.");

  it.each([
    [
      "published",
      (name: string, { shape, values }: { shape: number[]; values: number[] }) => [name, shape, values],
    ],
    ["its masked autoencoder's", toSparse],
    [
      "timm's",
      (name: string, { shape, values }: { shape: number[]; values: number[] }) => [
        toTimm(name),
        name.includes("grn") ? [values.length] : shape,
        values,
      ],
    ],
  ])("inflate kernels under the names that are %s", async (_what, change) => {
    const image = await imageState();
    await writeForeign(path, image, change as Parameters<typeof writeForeign>[2]);
    for (const method of ["centre", "mean"] as const) {
      const { report, state } = await loaded({ encoder: convNeXt }, { keyMap: `convnext-v2-2d-${method}` });
      expect(report.coverage.encoder).toBe(1);
      for (const [name, { shape, values }] of state) {
        const source = image.get(name) as { shape: number[]; values: number[] };
        if (source.shape.length !== 4) {
          expect([name, values]).toEqual([name, source.values]);
          continue;
        }
        const [out, inner, depth, height, width] = shape;
        const plane = height * width;
        for (let channel = 0; channel < out * inner; channel++) {
          // Where ours is one voxel wide, a plane is the sum of the image's kernel.
          const size = source.shape[2] * source.shape[3];
          const wanted = source.values.slice(channel * size, (channel + 1) * size);
          const flat = plane === size ? wanted : [wanted.reduce((sum, value) => sum + value, 0)];
          for (let slice = 0; slice < depth; slice++) {
            const share = method === "mean" ? 1 / depth : slice === Math.floor(depth / 2) ? 1 : 0;
            const got = values.slice(
              (channel * depth + slice) * plane,
              (channel * depth + slice + 1) * plane,
            );
            got.forEach((value, index) => {
              expect(value).toBeCloseTo(flat[index] * share, 6);
            });
          }
        }
      }
    }
  });

  it("are told from the names, the centre before the mean", async () => {
    await writeForeign(path, await imageState(), (name, { shape, values }) => [name, shape, values]);
    const { report } = await loaded({ encoder: convNeXt });
    expect(report.keyMap).toMatchObject({ name: "convnext-v2-2d-centre", chosen: "detected" });
    expect(report.loaded.find(({ name }) => name === "stages.0.0.dwconv.weight")).toMatchObject({
      storedShape: [4, 1, 7, 7],
      change: "inflated (centre)",
    });
  });
});

describe("the key map of MedicalNet", () => {
  const encoder = { family: "resnet-3d", channels: 3, features: 4, blocks: [2, 1, 1, 1] } as const;
  const resNet = structuredClone(encoder) as unknown as ResNetEncoderSpec;
  const head = { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 } as const;

  it("takes its names out of their wrapper, and leaves the segmentation's layers over", async () => {
    const state = await drawn({ encoder: resNet });
    await writeForeign(path, state, (name, { shape, values }) => [`module.${name}`, shape, values], [
      ["module.conv_seg.3.weight", [2, 4, 1, 1, 1]],
    ]);
    const { report, state: after } = await loaded({ encoder: resNet, head });
    expect(report.keyMap).toMatchObject({ name: "medicalnet", chosen: "detected" });
    expect(report.file.prefix).toBe("module.");
    expect(report.coverage).toMatchObject({ encoder: 1, encoderTensors: 1 });
    expect(report.leftOver.map(({ name }) => name)).toEqual(["module.conv_seg.3.weight"]);
    expect(report.refusal).toBeNull();
    for (const [name, tensor] of state) expect([name, after.get(`encoder.${name}`)]).toEqual([name, tensor]);
    expect(report.modules.find(({ name }) => name === "encoder.layer1.0")).toMatchObject({
      tensors: 24, // 3 convolutions and the shortcut's, and 5 of each one's norm
      loaded: 24,
    });
  });

  it("shares the kernel of one channel out among ours: the image in each is answered as by the source", async () => {
    const single = { ...resNet, channels: 1 };
    using source = await Network.create({ encoder: single, seed: 1 });
    await writeForeign(path, await stateOf(source), (name, { shape, values }) => [
      `module.${name}`,
      shape,
      values,
    ]);
    using target = await Network.create({ encoder: resNet, seed: 2 });
    const { report } = await target.loadCheckpoint(path);
    expect(report.loaded.find(({ name }) => name === "conv1.weight")).toMatchObject({
      storedShape: [4, 1, 7, 7, 7],
      change: "one channel shared out among 3",
    });
    const image = Float32Array.from({ length: 33 * 16 * 16 }, (_, index) => Math.sin(index * index));
    using one = Tensor.from(image, [1, 1, 33, 16, 16]);
    using three = Tensor.from(Float32Array.from([...image, ...image, ...image]), [1, 3, 33, 16, 16]);
    using wanted = await source.forward(one);
    using got = await target.forward(three);
    expect(
      relativeError((await got.toArray()) as Float32Array, (await wanted.toArray()) as Float32Array),
    ).toBeLessThan(1e-5);
  });

  it("is told from our own names below a head, and both from shapes alone say the encoder", async () => {
    const state = await drawn({ encoder: resNet, head });
    await writeForeign(path, state, (name, { shape, values }) => [name, shape, values]);
    const { report } = await loaded({ encoder: resNet, head });
    expect(report.keyMap).toMatchObject({ name: "resnet-3d", chosen: "detected" });
    expect((await inspectWeights(path)).architecture).toEqual({ encoder, assumed: ["strides"] });
    await writeForeign(path, await drawn({ encoder: resNet }), (name, { shape, values }) => [
      `module.${name}`,
      shape,
      values,
    ]);
    const inspected = await inspectWeights(path);
    expect(inspected.architecture).toEqual({ encoder, assumed: ["strides"] });
    expect(inspected.keyMaps[0]).toMatchObject({ name: "medicalnet", coverage: 1 });
  });

  it("refuses a network of other blocks, naming what is missing", async () => {
    await writeForeign(path, await drawn({ encoder: resNet }), (name, { shape, values }) => [
      `module.${name}`,
      shape,
      values,
    ]);
    await expect(loaded({ encoder: { ...resNet, blocks: [2, 2, 1, 1] } })).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/at least 95 %.*layer2\.1/),
    });
  });
});

describe("the key map of inflated ResNets", () => {
  const encoder: ResNetEncoderSpec = {
    family: "resnet-3d",
    channels: 3,
    features: 4,
    blocks: [1, 2, 1, 1],
    stem: { kernel: [3, 7, 7], stride: [1, 2, 2] },
  };

  it.each(["", "encode_image.i3_resnet.", "visual_encoder.model.encode_image.i3_resnet."])(
    "takes the network whole where it lies under %o, and tells its strides",
    async (prefix) => {
      const state = await drawn({ encoder });
      await writeForeign(path, state, (name, { shape, values }) => [`${prefix}${name}`, shape, values], [
        [`${prefix}contrastive_head.weight`, [2, 128, 1, 1, 1]],
      ]);
      const inspected = await inspectWeights(path);
      expect(inspected.architecture).toEqual({ encoder, assumed: ["strides"] });
      const { report, state: after } = await loaded({ encoder });
      expect(report.keyMap).toMatchObject({ name: "inflated-resnet", chosen: "detected" });
      expect(report.coverage).toMatchObject({ encoder: 1, encoderTensors: 1 });
      expect(report.leftOver).toHaveLength(1);
      expectSame(after, state);
    },
  );
});

describe("a ResNet of basic blocks", () => {
  it.each(["convolution", "padding"] as const)(
    "is told from its shapes: shortcuts by %s",
    async (shortcut) => {
      const encoder: ResNetEncoderSpec = {
        family: "resnet-3d",
        channels: 1,
        features: 4,
        blocks: [2, 2, 1, 1],
        block: "basic",
        ...(shortcut === "padding" ? { shortcut } : {}),
      };
      const state = await drawn({ encoder });
      await writeForeign(path, state, (name, { shape, values }) => [`module.${name}`, shape, values]);
      const inspected = await inspectWeights(path);
      expect(inspected.architecture).toEqual({ encoder, assumed: ["strides"] });
      const { report, state: after } = await loaded({ encoder });
      expect(report.keyMap.name).toBe("medicalnet");
      expectSame(after, state);
    },
  );
});

describe("key maps as data", () => {
  it("have names of their own, signs, and patterns that are regular expressions", () => {
    expect(new Set(keyMaps.map(({ name }) => name)).size).toBe(keyMaps.length);
    for (const { signs, rules, absent = [] } of keyMaps) {
      expect(signs.length).toBeGreaterThan(0);
      for (const pattern of [...signs.map(({ name }) => name), ...rules.map(({ from }) => from), ...absent])
        expect(() => new RegExp(pattern)).not.toThrow();
    }
  });
});

describe("the key map of MONAI's DenseNet", () => {
  const encoder = {
    family: "densenet-3d",
    channels: 2,
    features: 6,
    growth: 3,
    blocks: [2, 1, 3, 2] as [number, number, number, number],
  } as const;

  it("takes a classifier's weights, but for its last layer, and tells the network from them", async () => {
    const state = await drawn({ encoder });
    await writeForeign(path, state, (name, { shape, values }) => [`features.${name}`, shape, values], [
      ["class_layers.out.weight", [3, 16]],
      ["class_layers.out.bias", [3]],
    ]);
    const head = { kind: "unetr", outputs: 1, featureSize: 2 } as const;
    const { report, state: after } = await loaded({ encoder, head });
    expect(report.keyMap).toMatchObject({ name: "densenet-3d", chosen: "detected" });
    expect(report.coverage).toMatchObject({ encoder: 1, encoderTensors: 1 });
    expect(report.leftOver.map(({ name }) => name).sort()).toEqual([
      "class_layers.out.bias",
      "class_layers.out.weight",
    ]);
    for (const [name, tensor] of state) expect([name, after.get(`encoder.${name}`)]).toEqual([name, tensor]);
    expect((await inspectWeights(path)).architecture).toEqual({ encoder, assumed: [] });
  });
});
