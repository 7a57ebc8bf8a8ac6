import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import { turnedLayout, turns } from "../dist/models/fidelity/images.js";
import { checkPositions } from "../dist/models/fidelity/positions.js";
import { fitOfStem } from "../dist/models/fidelity/stem-statistics.js";
import type { DinoVitSpec, EncoderSpec } from "../dist/native/network-spec.js";

describe("the statistics of a first batch norm", () => {
  const [filters, channels, edge] = [12, 2, 3];
  const means = [1, -2];
  const deviations = [0.5, 2];
  const draw = randomStream(1, "stem");
  const taps = edge ** 3;
  const kernels = Float32Array.from({ length: filters * channels * taps }, () => draw.normal());
  /** Of white noise in each channel a kernel's answer has mean Σ μ w and variance Σ σ² w². */
  const over = (of: (weight: number, channel: number) => number) =>
    Float32Array.from({ length: filters }, (_, filter) => {
      let sum = 0;
      for (let tap = 0; tap < channels * taps; tap++)
        sum += of(kernels[filter * channels * taps + tap] as number, Math.floor(tap / taps));
      return sum;
    });
  const stem = {
    kernels,
    shape: [filters, channels, edge, edge, edge] as [number, number, number, number, number],
    bias: null,
    mean: over((weight, channel) => (means[channel] as number) * weight),
    variance: over((weight, channel) => ((deviations[channel] as number) * weight) ** 2),
  };
  const size = 16;
  const noise = (order: readonly number[], change: (value: number) => number = (value) => value) => ({
    values: Float32Array.from({ length: channels * size ** 3 }, (_, index) => {
      const channel = order[Math.floor(index / size ** 3)] as number;
      return change(draw.normal(means[channel], deviations[channel]));
    }),
    shape: [channels, size, size, size] as const,
  });

  it("fit what they were taken from", () => {
    const fit = fitOfStem(stem, [noise([0, 1]), noise([0, 1]), noise([0, 1])]);
    expect(fit?.fits).toBe(true);
    expect(fit?.intensities.off).toBe(false);
    expect(fit?.intensities.scale).toBeCloseTo(1, 1);
    expect(fit?.channels).toMatchObject({ off: false, told: true });
  });

  it("tell by what intensities were multiplied", () => {
    const tenfold = [1, 2, 3].map(() => noise([0, 1], (value) => 10 * value));
    const fit = fitOfStem(stem, tenfold);
    expect(fit?.intensities.off).toBe(true);
    expect(fit?.intensities.scale).toBeCloseTo(0.1, 2);
  });

  it("tell exchanged channels", () => {
    const fit = fitOfStem(stem, [noise([1, 0]), noise([1, 0]), noise([1, 0])]);
    expect(fit?.channels).toMatchObject({ order: [1, 0], off: true, told: false });
  });

  it("do not tell the axes of noise, which looks the same along each", () => {
    const fit = fitOfStem(stem, [noise([0, 1]), noise([0, 1])]);
    expect(fit?.axes).toMatchObject({ off: false, told: false });
  });
});

describe("a position embedding", () => {
  const vit: DinoVitSpec = {
    family: "dino-vit",
    channels: 3,
    patch: 8,
    embedDim: 48,
    depth: 4,
    heads: 3,
    registers: 4,
    axisTokens: 2,
  };
  const at = (encoder: EncoderSpec, voxels: number[] | null, parameters: string[] = []) =>
    checkPositions(
      encoder,
      parameters.map((name) => ({ name, shape: [1], buffer: false }) as never),
      [64, 48, 20],
      { record: null, expects: voxels === null ? null : { voxels } },
    );

  it("is flagged at another size than it was trained at, whatever the number of slices", () => {
    expect(at(vit, [32, 48, 20])).toMatchObject({ verdict: "flagged", measured: { ratio: 2 } });
    expect(at(vit, [64, 96])).toMatchObject({ verdict: "flagged", measured: { ratio: 0.5 } });
    expect(at(vit, [64, 48, 5]).verdict).toBe("sound");
  });

  it("is not measurable where nobody says that size, and no matter where there is none", () => {
    expect(at(vit, null)).toMatchObject({ verdict: "not measurable", severe: false });
    const convolutions = {
      family: "swin-unetr-3d",
      channels: 1,
      features: 12,
      depths: [1, 1, 1, 1],
      heads: [1, 2, 2, 4],
    };
    expect(at(convolutions as EncoderSpec, null).verdict).toBe("sound");
  });

  it("of a TorchScript module is told by its name, and takes depth into account", () => {
    const module = { family: "torchscript", input: "volume" } as EncoderSpec;
    expect(at(module, [64, 48, 40], ["encoder.pos_embed"])).toMatchObject({
      verdict: "flagged",
      measured: { ratio: 0.5 },
    });
    expect(at(module, [64, 48, 40], ["encoder.conv.weight"]).verdict).toBe("sound");
  });
});

describe("turned volumes", () => {
  it("are 48, each of which is undone by another", () => {
    const layout = Array.from({ length: 512 }, (_, index) => index);
    const all = new Set(turns.map((turn) => turnedLayout(layout, turn).join()));
    expect(all.size).toBe(48);
    for (const turn of turns)
      expect(
        turns.some((back) => turnedLayout(turnedLayout(layout, turn), back).join() === layout.join()),
      ).toBe(true);
  });
});
