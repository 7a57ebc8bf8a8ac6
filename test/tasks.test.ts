import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase, type VolumeRole } from "../dist/cohort/case-volumes.js";
import { randomStream } from "../dist/common/random.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { taskOf } from "../dist/tasks/index.js";
import { superResolution } from "../dist/tasks/super-resolution.js";

const shape = [4, 12, 12]; // [D, H, W]
const voxels = 4 * 12 * 12;
const values = (value: (index: number) => number) =>
  Float32Array.from({ length: voxels }, (_, index) => value(index));
const t2w = values((index) => (index % 97) / 97);
const adc = values((index) => 2 + (index % 7));
const hbv = values((index) => -1 - (index % 5));
/** Grades 0, 2 and 3; the most lesion lies in slice 2. */
const lesion = values((index) => {
  const slice = Math.floor(index / 144);
  return index % 144 < [0, 5, 9, 3][slice] ? (slice === 2 ? 3 : 2) : 0;
});

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-tasks-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const caseWith = async (volumes: Record<VolumeRole, Float32Array>): Promise<CaseVolumes> => {
  const file = join(folder, `${Object.keys(volumes).join("-")}.safetensors`);
  const tensors = Object.entries(volumes).map(([role, data]) => [role, Tensor.from(data, shape)] as const);
  await writeSafetensors(file, Object.fromEntries(tensors));
  for (const [, tensor] of tensors) tensor.dispose();
  const roles = Object.keys(volumes) as VolumeRole[];
  return openCase({ id: "one", patient: "one", labels: {}, file, volumes: roles, spacing: [1, 1, 1] }, "cpu");
};

const channelsOf = async (tensor: Tensor): Promise<Float32Array[]> => {
  const data = (await tensor.toArray()) as Float32Array;
  const size = data.length / tensor.shape[0];
  return Array.from({ length: tensor.shape[0] }, (_, channel) =>
    data.slice(channel * size, (channel + 1) * size),
  );
};

const segmentation = taskOf({
  kind: "lesion-segmentation",
  alpha: 0.3,
  beta: 0.7,
  prior: null,
  channelFill: "repeat",
});
const coarseToFine = superResolution({ downsampling: "average", channelFill: "repeat" });

describe("lesion segmentation", () => {
  it("shows T2W and one diffusion image, repeated in turn to the channels of the network", async () => {
    const volumes = await caseWith({ t2w, adc, lesion });
    using sample = await segmentation.sample(volumes, 5, randomStream(1, "any"));
    expect(sample.input.shape).toEqual([5, ...shape]);
    expect(await channelsOf(sample.input)).toEqual([t2w, adc, t2w, adc, t2w]);
  });

  it("fills further channels with zeros where asked", async () => {
    const zeros = taskOf({
      kind: "lesion-segmentation",
      alpha: 0.3,
      beta: 0.7,
      prior: null,
      channelFill: "zeros",
    });
    const volumes = await caseWith({ t2w, hbv, lesion });
    using sample = await zeros.sample(volumes, 4, randomStream(1, "any"));
    expect(await channelsOf(sample.input)).toEqual([
      t2w,
      hbv,
      new Float32Array(voxels),
      new Float32Array(voxels),
    ]);
  });

  it("takes any grade for lesion", async () => {
    using sample = await segmentation.sample(await caseWith({ t2w, adc, lesion }), 2, randomStream(1, "any"));
    expect(sample.target.shape).toEqual([1, ...shape]);
    expect(await sample.target.toArray()).toEqual(lesion.map((grade) => (grade > 0 ? 1 : 0)));
  });

  it("draws ADC or high-b by the stream: both come about equally often, and the same stream draws the same", async () => {
    const volumes = await caseWith({ t2w, adc, hbv, lesion });
    const drawn: boolean[] = [];
    for (let epoch = 0; epoch < 60; epoch++) {
      for (const again of [false, true]) {
        using sample = await segmentation.sample(volumes, 2, randomStream(1, "draw", epoch));
        const isAdc = (await channelsOf(sample.input))[1][0] === adc[0];
        if (again) expect(isAdc).toBe(drawn.at(-1));
        else drawn.push(isAdc);
      }
    }
    const share = drawn.filter(Boolean).length / 60;
    // 60 fair draws lie outside [0.3, 0.7] with a probability of about 0.001; the streams are fixed.
    expect(share).toBeGreaterThan(0.3);
    expect(share).toBeLessThan(0.7);
  });

  it("needs T2W, a lesion mask and one diffusion image", () => {
    expect(segmentation.missing({ roles: ["t2w", "adc", "lesion"], labels: {} })).toBeNull();
    expect(segmentation.missing({ roles: ["t2w", "hbv", "lesion"], labels: {} })).toBeNull();
    expect(segmentation.missing({ roles: ["adc", "lesion"], labels: {} })).toMatch(/T2W/);
    expect(segmentation.missing({ roles: ["t2w", "adc"], labels: {} })).toMatch(/lesion/);
    expect(segmentation.missing({ roles: ["t2w", "lesion"], labels: {} })).toMatch(/neither ADC nor high-b/);
  });

  it("is judged by Dice of probabilities above one half where there is a lesion, and by false alarms where there is none", async () => {
    // Case 0: 3 predicted, 2 true, 2 shared: 4 / 5. Case 1: both empty. Case 2: 1 predicted, none true.
    using logits = Tensor.from(
      new Float32Array([2, 0.1, 3, -1, -1, -0.1, -2, -3, -1, 4, -1, 0]),
      [3, 1, 1, 2, 2],
    );
    using target = Tensor.from(new Float32Array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), [3, 1, 1, 2, 2]);
    const judged = await segmentation.judge(logits, target);
    expect(judged[0].value).toBeCloseTo(0.8, 12);
    expect(judged.slice(1)).toEqual([
      { value: null, falseAlarm: false },
      { value: null, falseAlarm: true },
    ]);
  });

  it("gives the mean over cases with its standard deviation, and the Dice of each PI-RADS that occurs", () => {
    const cases = [3, 5, 5, null].map((pirads) => ({ roles: [], labels: { pirads } }));
    const assessment = segmentation.assess(
      [0.2, 0.4, 0.8, 1].map((value) => ({ value })),
      cases,
    );
    expect(assessment?.value).toBeCloseTo(0.6, 12);
    expect(assessment?.standardDeviation).toBeCloseTo(Math.sqrt((0.16 + 0.04 + 0.04 + 0.16) / 3), 12);
    expect(Object.keys(assessment?.secondary ?? {})).toEqual(["Dice of PI-RADS 3", "Dice of PI-RADS 5"]);
    expect(assessment?.secondary["Dice of PI-RADS 5"]).toBeCloseTo(0.6, 12);
  });

  it("gives the mean over cases with a lesion, and beside it the share of the others with a false alarm", () => {
    const cases = [4, 4, 2, 1, 2].map((pirads) => ({ roles: [], labels: { pirads } }));
    const assessment = segmentation.assess(
      [
        { value: 0.2 },
        { value: 0.6 },
        { value: null, falseAlarm: false },
        { value: null, falseAlarm: true },
        { value: null, falseAlarm: false },
      ],
      cases,
    );
    expect(assessment.value).toBeCloseTo(0.4, 12);
    expect(assessment.standardDeviation).toBeCloseTo(Math.sqrt(0.08), 12);
    expect(Object.keys(assessment.secondary)).toEqual([
      "Dice of PI-RADS 4",
      "False alarms (share of cases without a lesion)",
    ]);
    expect(assessment.secondary["False alarms (share of cases without a lesion)"]).toBeCloseTo(1 / 3, 12);
  });

  it("is undefined over cases of which none has a lesion, and says so", () => {
    const cases = [1, 2].map((pirads) => ({ roles: [], labels: { pirads } }));
    const judged = [true, false].map((falseAlarm) => ({ value: null, falseAlarm }));
    expect(segmentation.assess(judged, cases)).toEqual({
      value: null,
      reason: "it has no case with a lesion",
      standardDeviation: null,
      secondary: { "False alarms (share of cases without a lesion)": 0.5 },
    });
  });

  it("is pictured at the slice with the largest lesion", async () => {
    using sample = await segmentation.sample(await caseWith({ t2w, adc, lesion }), 3, randomStream(1, "any"));
    using logits = Tensor.from(
      t2w.map((value) => value - 0.5),
      [1, 1, ...shape],
    );
    using picture = await segmentation.picture(sample, logits);
    expect(picture.slice).toBe(2);
    const slice = (data: Float32Array) => data.slice(2 * 144, 3 * 144);
    expect(await picture.input.toArray()).toEqual(slice(t2w));
    expect(await picture.target.toArray()).toEqual(slice(lesion).map((grade) => (grade > 0 ? 1 : 0)));
    expect(await picture.prediction.toArray()).toEqual(slice(t2w).map((value) => (value > 0.5 ? 1 : 0)));
    expect(picture.prediction.shape).toEqual([12, 12]);
  });
});

describe("super-resolution", () => {
  it("shows the mean of each pair of slices and asks for all of them", async () => {
    using sample = await coarseToFine.sample(await caseWith({ t2w }), 3, randomStream(1, "any"));
    expect(sample.input.shape).toEqual([3, 2, 12, 12]);
    const mean = Float32Array.from({ length: 288 }, (_, index) => {
      const first = Math.floor(index / 144) * 288 + (index % 144);
      return (t2w[first] + t2w[first + 144]) / 2;
    });
    for (const channel of await channelsOf(sample.input)) {
      for (const [index, value] of channel.entries()) expect(value).toBeCloseTo(mean[index], 6);
    }
    expect(sample.target.shape).toEqual([1, ...shape]);
    expect(await sample.target.toArray()).toEqual(t2w);
  });

  it("shows every second slice where asked", async () => {
    const skipping = superResolution({ downsampling: "skip", channelFill: "repeat" });
    using sample = await skipping.sample(await caseWith({ t2w }), 1, randomStream(1, "any"));
    expect(await sample.input.toArray()).toEqual(
      Float32Array.from([...t2w.slice(0, 144), ...t2w.slice(288, 432)]),
    );
  });

  it("is pictured at the middle slice, with the coarse slice that it came from", async () => {
    using sample = await coarseToFine.sample(await caseWith({ t2w }), 2, randomStream(1, "any"));
    using answer = Tensor.from(t2w, [1, 1, ...shape]);
    using picture = await coarseToFine.picture(sample, answer);
    expect(picture.slice).toBe(2);
    expect(await picture.prediction.toArray()).toEqual(t2w.slice(288, 432));
    expect(await picture.target.toArray()).toEqual(t2w.slice(288, 432));
    expect(picture.input.shape).toEqual([12, 12]);
  });
});

it("tasks leave no tensor alive", async () => {
  const before = Tensor.live;
  const volumes = await caseWith({ t2w, adc, hbv, lesion });
  for (const task of [segmentation, coarseToFine]) {
    using sample = await task.sample(volumes, 3, randomStream(1, "any"));
    using answer = Tensor.from(t2w, [1, 1, ...shape]);
    using _ = await task.picture(sample, answer);
  }
  expect(Tensor.live).toBe(before);
});
