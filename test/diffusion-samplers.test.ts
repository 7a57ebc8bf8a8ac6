import { beforeAll, describe, expect, it } from "vitest";
import { type Prediction, predictions } from "../dist/diffusion/prediction.js";
import { type SamplerName, sample } from "../dist/diffusion/sample.js";
import { type NoiseSchedule, type NoiseScheduleName, noiseSchedule } from "../dist/diffusion/schedule.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";

beforeAll(() => setThreads(1));

const count = 20_000;
const mean = 0.4;
const deviation = 0.3;
const samplers: SamplerName[] = ["ancestral", "ddim", "dpm-solver++"];
const schedules: NoiseScheduleName[] = ["linear", "cosine"];

/**
 * The noise that a perfect network sees in x_t where images are drawn from N(mean, deviation²): the expectation of the
 * noise given x_t, known in closed form.
 */
async function exactNoise(schedule: NoiseSchedule, noisy: Tensor, t: number): Promise<Tensor> {
  const bar = schedule.alphaBar[t] as number;
  const factor = Math.sqrt(1 - bar) / (bar * deviation ** 2 + 1 - bar);
  using ones = await noisy.threshold(Number.NEGATIVE_INFINITY);
  return Tensor.combine([
    [factor, noisy],
    [-factor * Math.sqrt(bar) * mean, ones],
  ]);
}

/** The image that it expects: of two normal variables of known covariance. */
async function exactImage(schedule: NoiseSchedule, noisy: Tensor, t: number): Promise<Tensor> {
  const bar = schedule.alphaBar[t] as number;
  const gain = (Math.sqrt(bar) * deviation ** 2) / (bar * deviation ** 2 + 1 - bar);
  using ones = await noisy.threshold(Number.NEGATIVE_INFINITY);
  return Tensor.combine([
    [gain, noisy],
    [mean * (1 - gain * Math.sqrt(bar)), ones],
  ]);
}

/** The velocity that it expects: sqrt(bar) of the noise less sqrt(1 - bar) of the image. */
async function exactVelocity(schedule: NoiseSchedule, noisy: Tensor, t: number): Promise<Tensor> {
  using noise = await exactNoise(schedule, noisy, t);
  using image = await exactImage(schedule, noisy, t);
  const bar = schedule.alphaBar[t] as number;
  return Tensor.combine([
    [Math.sqrt(bar), noise],
    [-Math.sqrt(1 - bar), image],
  ]);
}

const exact = { noise: exactNoise, velocity: exactVelocity, image: exactImage };

async function drawGaussian(
  name: NoiseScheduleName,
  sampler: SamplerName,
  steps: number,
  { seed = 1, eta, prediction = "noise" }: { seed?: number; eta?: number; prediction?: Prediction } = {},
) {
  const schedule = noiseSchedule(name, 1000);
  using drawn = await sample({
    schedule,
    sampler,
    steps,
    shape: [count],
    seed,
    ...(eta === undefined ? {} : { eta }),
    prediction,
    predict: (noisy, t) => exact[prediction](schedule, noisy, t),
  });
  return (await drawn.toArray()) as Float32Array;
}

function moments(values: Float32Array) {
  const average = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - average) ** 2, 0) / (values.length - 1);
  return { average, deviation: Math.sqrt(variance) };
}

describe.each(schedules)("with the exact noise of a Gaussian, under the %s schedule", (name) => {
  it.each(samplers)("%s draws its mean and deviation, ever closer as steps grow", async (sampler) => {
    const errors: number[] = [];
    for (const steps of [10, 50, 250, 1000]) {
      const drawn = moments(await drawGaussian(name, sampler, steps));
      errors.push(Math.abs(drawn.deviation - deviation));
      // Monte Carlo: 0.3 / sqrt(20000) = 0.0021 for the mean; four of them, and the signal left at t = T.
      if (steps === 1000) expect(Math.abs(drawn.average - mean)).toBeLessThan(0.0125);
    }
    // 0.3 / sqrt(2 * 20000) = 0.0015 for the deviation.
    expect(errors[3]).toBeLessThan(0.007);
    expect(errors[0]).toBeGreaterThan(errors[3] as number);
  });
});

describe("DDIM with eta", () => {
  it.each(schedules)("draws the Gaussian's mean and deviation at every eta: %s", async (name) => {
    for (const eta of [0.3, 0.7, 1]) {
      const drawn = moments(await drawGaussian(name, "ddim", 1000, { eta }));
      expect(Math.abs(drawn.average - mean)).toBeLessThan(0.0125);
      expect(Math.abs(drawn.deviation - deviation)).toBeLessThan(0.007);
    }
  });

  it.each(schedules)(
    "draws at 1 what ancestral sampling draws, at 0 what it draws by itself: %s",
    async (name) => {
      // With equation 16's deviation at eta 1, equation 12 is the posterior of Ho et al. 2020, equations 6 and 7.
      const drawn = await drawGaussian(name, "ddim", 20, { eta: 1 });
      const ancestral = await drawGaussian(name, "ancestral", 20);
      const furthest = Math.max(
        ...drawn.map((value, index) => Math.abs(value - (ancestral[index] as number))),
      );
      expect(furthest).toBeLessThan(1e-4);
      expect(await drawGaussian(name, "ddim", 20, { eta: 0 })).toEqual(await drawGaussian(name, "ddim", 20));
      expect(await drawGaussian(name, "ddim", 20)).not.toEqual(drawn);
    },
  );

  it.each([
    [-0.1, "ddim", /from 0 to 1 for eta/],
    [1.5, "ddim", /from 0 to 1 for eta/],
    [Number.NaN, "ddim", /from 0 to 1 for eta/],
    [0.5, "ancestral", /ddim alone/],
    [0.5, "dpm-solver++", /ddim alone/],
  ] as const)("refuses %d with %s", async (eta, sampler, message) => {
    await expect(drawGaussian("cosine", sampler, 10, { eta })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(message),
    });
  });
});

describe("what a network predicts", () => {
  it.each(samplers)("is noise, velocity or image: %s draws the same from each", async (sampler) => {
    // Under the linear schedule, whose last signal of 0.006 an image is still told by in float32.
    const [noise, ...others] = await Promise.all(
      predictions.map((prediction) => drawGaussian("linear", sampler, 20, { prediction })),
    );
    expect(moments(noise as Float32Array).deviation).toBeGreaterThan(deviation / 2);
    for (const drawn of others) {
      const furthest = Math.max(...drawn.map((value, index) => Math.abs(value - (noise?.[index] as number))));
      expect(furthest).toBeLessThan(1e-3);
    }
  });

  it("is refused where it has another name", async () => {
    const prediction = "score" as Prediction;
    await expect(drawGaussian("linear", "ddim", 20, { prediction })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/noise, velocity, image.*prediction.*score/),
    });
  });
});

describe("the deterministic samplers", () => {
  /** How far x_0 lies from where the probability flow takes the same x_T, at most. */
  async function distanceToFlow(sampler: SamplerName, steps: number): Promise<number> {
    const schedule = noiseSchedule("linear", 1000);
    let start: Float32Array | null = null;
    using drawn = await sample({
      schedule,
      sampler,
      steps,
      shape: [256],
      seed: 3,
      predict: async (noisy, t) => {
        start ??= (await noisy.toArray()) as Float32Array;
        return exactNoise(schedule, noisy, t);
      },
    });
    const bar = schedule.alphaBar[1000] as number;
    const scale = deviation / Math.sqrt(bar * deviation ** 2 + 1 - bar);
    const values = (await drawn.toArray()) as Float32Array;
    const from = start as unknown as Float32Array;
    return Math.max(
      ...values.map((value, index) =>
        Math.abs(value - (mean + scale * ((from[index] as number) - Math.sqrt(bar) * mean))),
      ),
    );
  }

  it("follow the probability flow of a Gaussian, DPM-Solver++ closer than DDIM in as many steps", async () => {
    const ddim = [await distanceToFlow("ddim", 20), await distanceToFlow("ddim", 200)];
    const solver = [await distanceToFlow("dpm-solver++", 20), await distanceToFlow("dpm-solver++", 200)];
    expect(ddim[1]).toBeLessThan((ddim[0] as number) / 4);
    expect(solver[1]).toBeLessThan((solver[0] as number) / 4);
    expect(solver[0]).toBeLessThan(ddim[0] as number);
    expect(solver[1]).toBeLessThan(ddim[1] as number);
  });
});

describe.each(samplers)("%s", (sampler) => {
  const schedule = noiseSchedule("cosine", 100);
  const image = Float32Array.from({ length: 64 }, (_, index) => Math.sin(index));

  /** A network that knows the image. */
  const oracle = async (noisy: Tensor, t: number): Promise<Tensor> => {
    using known = Tensor.from(image, [64]);
    const deviationAt = schedule.noise[t] as number;
    return Tensor.combine([
      [1 / deviationAt, noisy],
      [-(schedule.signal[t] as number) / deviationAt, known],
    ]);
  };
  const options = { schedule, sampler, steps: 20, shape: [64], predict: oracle } as const;

  it("gives back the image that a network knows", async () => {
    using drawn = await sample({ ...options, seed: 1, clip: [-1, 1] });
    const values = (await drawn.toArray()) as Float32Array;
    for (const [index, value] of values.entries()) expect(value).toBeCloseTo(image[index] as number, 4);
  });

  it("draws the same from a seed, bit for bit, and something else from another", async () => {
    const [one, same, other] = [
      await drawGaussian("cosine", sampler, 10, { seed: 1 }),
      await drawGaussian("cosine", sampler, 10, { seed: 1 }),
      await drawGaussian("cosine", sampler, 10, { seed: 2 }),
    ];
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it("leaves no tensor alive, also where the network fails or the signal is aborted", async () => {
    const before = Tensor.live;
    (await sample({ ...options, seed: 1, clip: [-1, 1] })).dispose();
    let asked = 0;
    const failing = async (noisy: Tensor, t: number) => {
      if (++asked > 3) throw new Error("no answer");
      return oracle(noisy, t);
    };
    await expect(sample({ ...options, seed: 1, predict: failing })).rejects.toThrow("no answer");
    const controller = new AbortController();
    const aborting = async (noisy: Tensor, t: number) => {
      controller.abort();
      return oracle(noisy, t);
    };
    await expect(
      sample({ ...options, seed: 1, predict: aborting, signal: controller.signal }),
    ).rejects.toMatchObject({ code: "ABORTED" });
    expect(Tensor.live).toBe(before);
  });

  it("refuses more steps than the schedule has", async () => {
    await expect(sample({ ...options, seed: 1, steps: 101 })).rejects.toThrow(/from 1 to 100/);
  });
});
