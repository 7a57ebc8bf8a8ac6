import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCase } from "../dist/cohort/case-volumes.js";
import { randomStream } from "../dist/common/random.js";
import { noiseSchedule } from "../dist/diffusion/schedule.js";
import { setThreads } from "../dist/native/runtime.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { taskOf } from "../dist/tasks/index.js";

const shape = [12, 16, 16] as const; // [D, H, W]
const voxels = 12 * 16 * 16;
const options = {
  kind: "modality-translation",
  noiseSchedule: "cosine",
  timeSteps: 100,
  prediction: "noise",
  sampler: "ddim",
  samplingSteps: 10,
  ssimWeight: 1,
  intensityBins: null,
  channelFill: "repeat",
} as const;
const task = taskOf(options);
const t2w = Float32Array.from({ length: voxels }, (_, index) => (index % 97) / 97);
const highB = Float32Array.from({ length: voxels }, (_, index) => 0.5 + 0.5 * Math.sin(index / 9));

let folder: string;
beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-translation-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function volumes() {
  const file = join(folder, "case.safetensors");
  using a = Tensor.from(t2w, [...shape]);
  using b = Tensor.from(highB, [...shape]);
  await writeSafetensors(file, { t2w: a, hbv: b });
  return openCase(
    { id: "one", patient: "one", labels: {}, file, volumes: ["t2w", "hbv"], spacing: [1, 1, 1] },
    "cpu",
  );
}

const channelsOf = async (tensor: Tensor): Promise<Float32Array[]> => {
  const data = (await tensor.toArray()) as Float32Array;
  return Array.from({ length: data.length / voxels }, (_, index) =>
    data.slice(index * voxels, (index + 1) * voxels),
  );
};

describe("modality translation", () => {
  it("shows T2W, the noisy high-b image and the time, and asks for the noise", async () => {
    const schedule = noiseSchedule("cosine", 100);
    using sample = await task.sample(await volumes(), 3, randomStream(5, "draw"));
    expect(sample.input.shape).toEqual([3, ...shape]);
    const [first, noisy, time] = (await channelsOf(sample.input)) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const [noise] = (await channelsOf(sample.target)) as [Float32Array];
    expect(first).toEqual(t2w);
    const t = Math.round((time[0] as number) * 100);
    expect(new Set(time).size).toBe(1);
    expect(t).toBeGreaterThanOrEqual(1);
    for (let voxel = 0; voxel < voxels; voxel += 101) {
      const image = 2 * (highB[voxel] as number) - 1;
      const expected =
        (schedule.signal[t] as number) * image + (schedule.noise[t] as number) * (noise[voxel] as number);
      expect(noisy[voxel]).toBeCloseTo(expected, 5);
    }
    expect(await (sample.reference as Tensor).toArray()).toEqual(highB);
  });

  it("draws another time and other noise from another stream, and the same from the same", async () => {
    const one = await volumes();
    const inputs: Float32Array[] = [];
    for (const epoch of [1, 1, 2]) {
      using sample = await task.sample(one, 3, randomStream(5, "draw", epoch));
      inputs.push((await sample.input.toArray()) as Float32Array);
    }
    expect(inputs[1]).toEqual(inputs[0]);
    expect(inputs[2]).not.toEqual(inputs[0]);
  });

  it.each(["ddim", "ancestral", "dpm-solver++"] as const)(
    "answers with the image that %s samples: a network that knows the noise has an SSIM of 1",
    async (sampler) => {
      const before = Tensor.live;
      const schedule = noiseSchedule("cosine", 100);
      const asked = taskOf({ ...options, sampler });
      {
        using sample = await asked.sample(await volumes(), 3, randomStream(1, "draw"));
        const oracle = async (input: Tensor): Promise<Tensor> => {
          const data = (await input.toArray()) as Float32Array;
          const t = Math.round((data[2 * voxels] as number) * 100);
          const [signal, deviation] = [schedule.signal[t] as number, schedule.noise[t] as number];
          const noise = highB.map(
            (value, index) => ((data[voxels + index] as number) - signal * (2 * value - 1)) / deviation,
          );
          return Tensor.from(noise, [1, 1, ...shape]);
        };
        const { signal } = new AbortController();
        using answer = (await asked.answer?.(oracle, sample, randomStream(2, "answer"), signal)) as Tensor;
        expect(answer.shape).toEqual([1, 1, ...shape]);
        using target = await Tensor.gather([sample.reference as Tensor], [0]);
        const [judged] = await asked.judge(answer, target);
        expect(judged?.value).toBeCloseTo(1, 4);
      }
      expect(Tensor.live).toBe(before);
    },
  );

  it("needs T2W and the high-b image", () => {
    expect(task.missing({ roles: ["t2w", "hbv"], labels: {} })).toBeNull();
    expect(task.missing({ roles: ["t2w"], labels: {} })).toMatch(/high-b/);
    expect(task.missing({ roles: ["hbv"], labels: {} })).toMatch(/T2W/);
  });
});
