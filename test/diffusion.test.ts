import { beforeAll, describe, expect, it } from "vitest";
import { noised } from "../dist/diffusion/noising.js";
import { type SamplerName, sample } from "../dist/diffusion/sample.js";
import { type NoiseSchedule, type NoiseScheduleName, noiseSchedule } from "../dist/diffusion/schedule.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";

beforeAll(() => setThreads(1));

describe("noise schedules", () => {
  it("has the linear schedule's betas and the closed form of its signal", () => {
    const { betas, alphaBar } = noiseSchedule("linear", 1000);
    expect(betas[0]).toBe(0);
    expect(betas[1]).toBeCloseTo(1e-4, 12);
    expect(betas[1000]).toBeCloseTo(0.02, 12);
    // log alphaBar_T by its power series: the sums of beta^k are those of arithmetic progressions.
    const d = 0.0199 / 999;
    const n = 1000;
    const sum1 = (n * (1e-4 + 0.02)) / 2;
    const sum2 = n * 1e-8 + 1e-4 * d * n * (n - 1) + (d * d * (n - 1) * n * (2 * n - 1)) / 6;
    const approximate = Math.exp(-sum1 - sum2 / 2);
    expect(Math.abs((alphaBar[1000] as number) / approximate - 1)).toBeLessThan(1e-3);
  });

  it("keeps about the same signal at the end for every number of linear steps", () => {
    const long = noiseSchedule("linear", 1000).alphaBar[1000] as number;
    const longer = noiseSchedule("linear", 4000).alphaBar[4000] as number;
    expect(Math.abs(Math.log(long) / Math.log(longer) - 1)).toBeLessThan(0.01);
  });

  it("follows the squared cosine up to where beta is clipped", () => {
    const { alphaBar, betas } = noiseSchedule("cosine", 1000);
    const level = (t: number) => Math.cos(((t / 1000 + 0.008) / 1.008) * (Math.PI / 2)) ** 2;
    for (const t of [1, 10, 250, 500, 900, 999]) {
      expect((alphaBar[t] as number) / (level(t) / level(0))).toBeCloseTo(1, 9);
    }
    expect(betas[1000]).toBe(0.999);
    expect(alphaBar[1000]).toBeGreaterThan(0);
  });

  it.each(["linear", "cosine"] as const)("loses signal at every step of the %s schedule", (name) => {
    const { alphaBar, signal, noise, logSnr } = noiseSchedule(name, 200);
    expect(alphaBar[0]).toBe(1);
    for (let t = 1; t <= 200; t++) {
      expect(alphaBar[t]).toBeLessThan(alphaBar[t - 1] as number);
      expect(logSnr[t]).toBeLessThan(logSnr[t - 1] as number);
      expect((signal[t] as number) ** 2 + (noise[t] as number) ** 2).toBeCloseTo(1, 12);
    }
  });

  it("refuses a number of steps that is not a whole number of at least 1", () => {
    for (const steps of [0, -1, 1.5, Number.NaN, 1e9]) {
      expect(() => noiseSchedule("cosine", steps)).toThrow(/whole number from 1 to 100000/);
    }
  });
});

const centre = 0.4;
const spread = 0.3;

/** The expectation of the noise given x_t where images are drawn from N(centre, spread²). */
async function expectedNoise(schedule: NoiseSchedule, noisy: Tensor, t: number): Promise<Tensor> {
  const bar = schedule.alphaBar[t] as number;
  const factor = Math.sqrt(1 - bar) / (bar * spread ** 2 + 1 - bar);
  const size = noisy.shape[0] as number;
  using ones = Tensor.from(new Float32Array(size).fill(1), [size]);
  return Tensor.combine([
    [factor, noisy],
    [-factor * Math.sqrt(bar) * centre, ones],
  ]);
}

describe("noising", () => {
  it("weighs image and noise by the schedule", async () => {
    const schedule = noiseSchedule("cosine", 1000);
    using image = Tensor.from(Float32Array.of(1, -2, 0), [3]);
    using noise = Tensor.from(Float32Array.of(0.5, 0, 3), [3]);
    using noisy = await noised(schedule, image, noise, 400);
    const level =
      Math.cos((0.408 / 1.008) * (Math.PI / 2)) ** 2 / Math.cos((0.008 / 1.008) * (Math.PI / 2)) ** 2;
    const [signal, deviation] = [Math.sqrt(level), Math.sqrt(1 - level)];
    const values = (await noisy.toArray()) as Float32Array;
    const wanted = [signal + 0.5 * deviation, -2 * signal, 3 * deviation];
    for (const [index, value] of wanted.entries()) expect(values[index]).toBeCloseTo(value, 6);
  });
});

describe("the samplers' distance from the probability flow of a Gaussian", () => {
  /** How far x_0 lies from m + s / sqrt(bar s² + 1 - bar) (x_T - sqrt(bar) m), at most. */
  async function distance(name: NoiseScheduleName, sampler: SamplerName, steps: number): Promise<number> {
    const schedule = noiseSchedule(name, 1000);
    const starts: Float32Array[] = [];
    using drawn = await sample({
      schedule,
      sampler,
      steps,
      shape: [64],
      seed: 5,
      predict: async (noisy, t) => {
        if (starts.length === 0) starts.push((await noisy.toArray()) as Float32Array);
        return expectedNoise(schedule, noisy, t);
      },
    });
    const bar = schedule.alphaBar[1000] as number;
    const slope = spread / Math.sqrt(bar * spread ** 2 + 1 - bar);
    const values = (await drawn.toArray()) as Float32Array;
    const start = starts[0] as Float32Array;
    const exact = start.map((value) => centre + slope * (value - Math.sqrt(bar) * centre));
    return Math.max(...exact.map((value, index) => Math.abs(value - (values[index] as number))));
  }

  it.each([
    ["linear", "ddim"],
    ["linear", "dpm-solver++"],
    ["cosine", "ddim"],
    ["cosine", "dpm-solver++"],
  ] as const)("falls from 10 to 50 to 250 steps (%s, %s)", async (name, sampler) => {
    const few = await distance(name, sampler, 10);
    const more = await distance(name, sampler, 50);
    const many = await distance(name, sampler, 250);
    expect(more).toBeLessThan(few / 2);
    expect(many).toBeLessThan(more);
  });

  // Before the last step, which is of first order for every sampler, comes to govern the error.
  it.each([
    ["linear", 50],
    ["cosine", 10],
  ] as const)(
    "halves for DDIM and quarters for DPM-Solver++ with twice the steps (%s)",
    async (name, steps) => {
      const first = (await distance(name, "ddim", steps)) / (await distance(name, "ddim", 2 * steps));
      const second =
        (await distance(name, "dpm-solver++", steps)) / (await distance(name, "dpm-solver++", 2 * steps));
      expect(first).toBeGreaterThan(1.8);
      expect(first).toBeLessThan(2.2);
      expect(second).toBeGreaterThan(4);
    },
  );
});

describe("ancestral sampling", () => {
  it.each([
    ["linear", 10],
    ["linear", 50],
    ["cosine", 10],
    ["cosine", 50],
  ] as const)("has the moments that Bayes' rule gives, step by step (%s, %i steps)", async (name, steps) => {
    const schedule = noiseSchedule(name, 1000);
    let [mean, variance]: [number, number] = [0, 1];
    for (let step: number = steps; step >= 1; step--) {
      const barT = schedule.alphaBar[(1000 * step) / steps] as number;
      const barS = schedule.alphaBar[(1000 * (step - 1)) / steps] as number;
      // E[x_0 | x_t] = gain x_t + offset.
      const gain = (Math.sqrt(barT) * spread ** 2) / (barT * spread ** 2 + 1 - barT);
      const offset = centre * (1 - gain * Math.sqrt(barT));
      if (step === 1) {
        [mean, variance] = [gain * mean + offset, gain ** 2 * variance];
        break;
      }
      // x_s given x_0 is N(sqrt(barS) x_0, 1 - barS); x_t given x_s is N(sqrt(alpha) x_s, 1 - alpha): precisions add.
      const alpha = barT / barS;
      const precision = 1 / (1 - barS) + alpha / (1 - alpha);
      const ofImage = Math.sqrt(barS) / (1 - barS) / precision;
      const slope = ofImage * gain + Math.sqrt(alpha) / (1 - alpha) / precision;
      [mean, variance] = [slope * mean + ofImage * offset, slope ** 2 * variance + 1 / precision];
    }
    const count = 20_000;
    using drawn = await sample({
      schedule,
      sampler: "ancestral",
      steps,
      shape: [count],
      seed: 7,
      predict: (noisy, t) => expectedNoise(schedule, noisy, t),
    });
    const values = (await drawn.toArray()) as Float32Array;
    const average = values.reduce((sum, value) => sum + value, 0) / count;
    const spreadSquared = values.reduce((sum, value) => sum + (value - average) ** 2, 0) / (count - 1);
    // Four standard errors.
    expect(Math.abs(average - mean)).toBeLessThan(4 * Math.sqrt(variance / count));
    expect(Math.abs(spreadSquared / variance - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
  });
});

describe("clipping", () => {
  it.each(["ancestral", "ddim", "dpm-solver++"] as const)(
    "holds what %s gives to the range",
    async (sampler) => {
      const schedule = noiseSchedule("linear", 1000);
      // A network that always sees no noise: the image is x_t / signal, far outside of the range.
      const predictNoise = (noisy: Tensor) => Tensor.combine([[0, noisy]]);
      const options = { schedule, sampler, steps: 5, shape: [64], seed: 2, predict: predictNoise } as const;
      using free = await sample(options);
      using held = await sample({ ...options, clip: [-0.5, 0.25] });
      expect(Math.max(...((await free.toArray()) as Float32Array))).toBeGreaterThan(0.25);
      for (const value of (await held.toArray()) as Float32Array) {
        expect(value).toBeGreaterThanOrEqual(-0.5);
        expect(value).toBeLessThanOrEqual(0.25);
      }
    },
  );
});
