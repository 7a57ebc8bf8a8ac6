import { afterEach, describe, expect, it } from "vitest";
import { startAnswersAt } from "../dist/models/parameters.js";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { lesionSegmentation } from "../dist/tasks/lesion-segmentation.js";
import { hashFill } from "./hash-fill.js";

setThreads(1);

const convNeXt = { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 4, 8, 8] };
const resNet = { family: "resnet-3d", channels: 1, features: 2, blocks: [1, 1, 1, 1] };
const vit = {
  family: "dino-vit",
  channels: 3,
  patch: 8,
  embedDim: 8,
  depth: 4,
  heads: 2,
  registers: 0,
  axisTokens: 2,
};
const channels = { channels: 1, outputs: 1 };
const networks: Record<string, object> = {
  "UperNet on a ConvNeXt": {
    encoder: convNeXt,
    head: { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 },
  },
  "UNETR on a ConvNeXt": { encoder: convNeXt, head: { kind: "unetr", outputs: 1, featureSize: 2 } },
  "UperNet on a ResNet": { encoder: resNet, head: { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 } },
  "conv1 on a vision transformer": { encoder: vit, head: { kind: "conv1", outputs: 1, width: 1 } },
  "UNETR on a vision transformer": { encoder: vit, head: { kind: "unetr", outputs: 1, featureSize: 2 } },
  "U-Net": { model: { family: "unet-3d", features: 2, levels: 2, depthScale: 1, ...channels } },
  TransUNet: {
    model: { family: "transunet-3d", features: 4, levels: 2, depth: 1, heads: 2, depthScale: 1, ...channels },
  },
  ViT: { model: { family: "vit-3d", patch: [2, 4, 4], embedDim: 8, depth: 1, heads: 2, ...channels } },
};
const build = (value: object) => PlacedNetwork.build(structuredClone(value) as NetworkSpec, { seed: 5 });

/** The network's answer to a volume, [1, 1, 4, 16, 16], voxel by voxel. */
async function answerOf(network: PlacedNetwork): Promise<number[]> {
  using volume = Tensor.from(Float32Array.from(hashFill("volume", 4 * 16 * 16)), [1, 1, 4, 16, 16]);
  using answer = await network.forward(volume);
  return [...((await answer.toArray()) as Float32Array)];
}

describe("A prior of what is looked for", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each(Object.entries(networks))("moves every logit of %s by the same amount", async (_, spec) => {
    using network = await build(spec);
    // From a bias of 0 on, the logits move by logit(0.02) = ln(0.02 / 0.98).
    await startAnswersAt(network, 0.5);
    const before = await answerOf(network);
    await startAnswersAt(network, 0.02);
    const after = await answerOf(network);
    for (const [voxel, value] of after.entries())
      expect(value - (before[voxel] as number)).toBeCloseTo(Math.log(0.02 / 0.98), 3);
  });

  it("is refused for a network that answers with classes", async () => {
    using network = await build({
      encoder: convNeXt,
      head: { kind: "classifier", classes: 4, bottleneck: 4 },
    });
    await expect(startAnswersAt(network, 0.02)).rejects.toMatchObject({ code: "BAD_INPUT" });
  });

  it("is the lesion segmentation's where its options name one", () => {
    const options = { alpha: 0.3, beta: 0.7, channelFill: "repeat" } as const;
    expect(lesionSegmentation({ ...options, prior: 0.01 }).prior).toBe(0.01);
    expect("prior" in lesionSegmentation({ ...options, prior: null })).toBe(false);
  });
});
