import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { settleNormStatistics } from "../dist/study/cell/norm-statistics.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { planStudy } from "../dist/study/plan/plan.js";

let folder: string;
const edge = 16;
const encoder = { family: "resnet-3d", channels: 1, features: 2, blocks: [1, 1, 1, 1] } as const;
const head = { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 } as const;

/** Mean and unbiased variance of a 7x7x7 convolution at stride 2 without a bias, by loops. */
function stemMoments(volumes: readonly Float32Array[], kernel: Float32Array): [number, number] {
  const values: number[] = [];
  for (const volume of volumes)
    for (let z = 0; z < edge; z += 2)
      for (let y = 0; y < edge; y += 2)
        for (let x = 0; x < edge; x += 2) {
          let sum = 0;
          for (let k = 0; k < 343; k++) {
            const [d, h, w] = [z + Math.floor(k / 49) - 3, y + (Math.floor(k / 7) % 7) - 3, x + (k % 7) - 3];
            if ([d, h, w].every((at) => at >= 0 && at < edge))
              sum += (kernel[k] as number) * (volume[(d * edge + h) * edge + w] as number);
          }
          values.push(sum);
        }
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  return [mean, squares / (values.length - 1)];
}

async function weightsOf(network: PlacedNetwork): Promise<Record<string, Float32Array>> {
  const path = join(folder, "weights.safetensors");
  await network.save(path);
  const file = await readSafetensors(path);
  const all: Record<string, Float32Array> = {};
  for (const name of file.names) {
    using tensor = await file.tensor(name);
    all[name] = Float32Array.from((await tensor.toArray()) as Float32Array, Number);
  }
  return all;
}

beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-norms-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("an encoder with batch norm that stays as it was drawn", () => {
  it("gets the statistics of training cases, and no other weight", async () => {
    using network = await PlacedNetwork.build({ encoder, head } as never, { seed: 3 });
    const before = await weightsOf(network);
    const draw = randomStream(5, "volumes");
    const volumes = [0, 1].map(() => Float32Array.from({ length: edge ** 3 }, () => 2 + draw.normal()));
    const shape = [2, 1, edge, edge, edge];
    // Of each two batches the second holds the first's volumes, twice as bright.
    await settleNormStatistics(
      network,
      { loss: { kind: "l1" } },
      4,
      async (index) => ({
        input: Tensor.from(
          Float32Array.from(
            volumes.flatMap((one) => [...one]),
            (value) => (1 + (index % 2)) * value,
          ),
          shape,
        ),
        target: Tensor.from(new Float32Array(2 * edge ** 3), shape),
      }),
      new AbortController().signal,
    );
    const after = await weightsOf(network);
    expect(Tensor.live).toBe(0);

    const kernels = before["encoder.conv1.weight"] as Float32Array;
    for (let channel = 0; channel < encoder.features; channel++) {
      const [mean, variance] = stemMoments(volumes, kernels.subarray(343 * channel, 343 * (channel + 1)));
      expect(after["encoder.bn1.running_mean"]?.[channel]).toBeCloseTo(1.5 * mean, 4);
      expect(after["encoder.bn1.running_var"]?.[channel]).toBeCloseTo(2.5 * variance, 3);
    }
    const changed = Object.keys(before).filter((name) =>
      before[name]?.some((value, i) => value !== after[name]?.[i]),
    );
    expect(changed.length).toBeGreaterThan(2);
    for (const name of changed)
      expect(name).toMatch(/^encoder\..*\.?(running_mean|running_var|num_batches_tracked)$/);
  });

  it("as deep as a ResNet-152 has features of the size of its inputs, where as drawn they are a hundred thousand times that", async () => {
    // The published depth at a sixteenth of the width: it is the number of blocks that lets features grow.
    const deep = {
      ...encoder,
      features: 4,
      blocks: [3, 8, 36, 3],
      stem: { kernel: [3, 7, 7], stride: [1, 2, 2] },
    } as const;
    const classifier = { kind: "classifier", classes: 2, bottleneck: 4 };
    using network = await PlacedNetwork.build({ encoder: deep, head: classifier } as never, { seed: 3 });
    const draw = randomStream(6, "volumes");
    const volumes = () =>
      Tensor.from(
        Float32Array.from({ length: 2 * 32 ** 3 }, () => draw.normal()),
        [2, 1, 32, 32, 32],
      );
    const norm = async () => {
      using input = volumes();
      using features = await network.embed(input);
      const pooled = (await features.pooled.toArray()) as Float32Array;
      return Math.hypot(...pooled) / Math.SQRT2;
    };
    expect(await norm()).toBeGreaterThan(1e5);
    await settleNormStatistics(
      network,
      { loss: { kind: "cross-entropy" } },
      8,
      async () => ({ input: volumes(), target: Tensor.from(BigInt64Array.from([0n, 1n]), [2]) }),
      new AbortController().signal,
    );
    expect(await norm()).toBeLessThan(300);
  }, 600_000);

  it("is left alone where it has no batch norm: no case is looked at", async () => {
    const convNeXt = { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] };
    using network = await PlacedNetwork.build({ encoder: convNeXt, head } as never, { seed: 3 });
    await settleNormStatistics(
      network,
      { loss: { kind: "l1" } },
      4,
      async () => expect.unreachable(),
      new AbortController().signal,
    );
  });

  it("takes no more memory than one with pretrained weights, as its statistics need no gradient", () => {
    const resolved = resolveStudy(
      {
        name: "small",
        cohort: { manifest: "manifest.csv", voxels: [64, 64, 32] },
        split: { train: 4, validation: 1, test: 1 },
        models: [{ name: "resnet", encoder: { ...encoder, channels: 3 }, pretrain: { batchSize: 2 } }],
        tasks: ["super-resolution"],
      },
      "/data",
    );
    if ("faults" in resolved) throw new Error(JSON.stringify(resolved.faults));
    const bytes = Object.fromEntries(
      planStudy(resolved.study).cells.map(({ comparator, memoryBytes }) => [comparator, memoryBytes]),
    );
    expect((bytes["random-weights"] as number) / (bytes.pretrained as number)).toBeCloseTo(1, 2);
    expect(bytes["random-weights"]).toBeLessThan(bytes["from-scratch"] as number);
  });
});
