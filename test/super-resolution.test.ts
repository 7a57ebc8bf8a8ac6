import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { randomStream } from "../dist/common/random.js";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { runStudy } from "../dist/study/run/run.js";
import { type TaskSpec, taskOf, trivialOf } from "../dist/tasks/index.js";
import { readResults, tinyStudy } from "./study-fixture.js";

/** By NumPy and SciPy: test/oracles/super-resolution.py. */
interface Oracle {
  axis: string | string[];
  factor: number | number[];
  downsampling: "average" | "skip";
  shape: [number, number, number];
  factors: [number, number, number];
  volume: number[];
  coarse: number[];
  repeated: number[];
  linear: number[];
  cubic: number[];
}
const oracles = JSON.parse(
  await readFile(new URL("./oracles/super-resolution.json", import.meta.url), "utf8"),
) as Oracle[];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-finer-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const paper = { axis: "depth", factor: 2 };
const model: StudyInput["models"][number] = { name: "one", encoder: "profound-demo", pretrain: {} };

/** A study of one task of super-resolution, or what is wrong with it. */
const resolved = (task: object, voxels: readonly number[] = [24, 36, 16]) =>
  resolveStudy(
    {
      name: "finer",
      cohort: { manifest: "m.csv", voxels },
      models: [model],
      tasks: [{ kind: "super-resolution", ...task }],
      comparators: ["fine-tuned", "specialised"],
    },
    folder,
  );
function studyOf(task: object) {
  const made = resolved(task, [24, 60, 24]);
  if ("faults" in made) throw new Error(JSON.stringify(made.faults));
  return made.study;
}
const specOf = (task: object): TaskSpec => studyOf(task).tasks[0] as TaskSpec;
function faultsOf(task: object, voxels?: readonly number[]): string[] {
  const made = resolved(task, voxels);
  return "faults" in made ? made.faults.map(({ path, message }) => `${path.join(".")}: ${message}`) : [];
}

async function caseOf({ volume, shape }: Oracle): Promise<CaseVolumes> {
  const file = join(folder, `${shape.join("-")}.safetensors`);
  using t2w = Tensor.from(Float32Array.from(volume), shape);
  await writeSafetensors(file, { t2w });
  return openCase(
    { id: "one", patient: "one", labels: {}, file, volumes: ["t2w"], spacing: [1, 1, 1] },
    "cpu",
  );
}
const largestDifference = (one: ArrayLike<number | bigint>, other: readonly number[]): number => {
  expect(one.length).toBe(other.length);
  return Math.max(...Array.from(one, (value, index) => Math.abs(Number(value) - (other[index] as number))));
};
const draw = () => randomStream(1, "any");
const isPaper = ({ factors }: Oracle) => factors.join() === "2,1,1";

describe("Super-resolution along any axes by any factors", () => {
  it.each(oracles)("shows what NumPy makes coarse: $axis by $factor, $downsampling", async (oracle) => {
    const { axis, factor, downsampling, shape } = oracle;
    const one = await caseOf(oracle);
    const task = taskOf(specOf({ axis, factor, downsampling }));
    using sample = await task.sample(one, 1, draw());
    // Half the slices are shown as they are, to the head that doubles them; all else on the grid that is asked for.
    const shown = isPaper(oracle) ? oracle.coarse : oracle.repeated;
    expect(sample.input.shape).toEqual(isPaper(oracle) ? [1, 4, 3, 4] : [1, ...shape]);
    expect(largestDifference(await sample.input.toArray(), shown)).toBeLessThan(1e-6);
    expect(sample.target.shape).toEqual([1, ...shape]);
    expect(largestDifference(await sample.target.toArray(), oracle.volume)).toBe(0);
    using answer = Tensor.from(Float32Array.from(oracle.volume), [1, 1, ...shape]);
    using picture = await task.picture(sample, answer);
    expect(picture.input.shape).toEqual(shape.slice(1));
    expect(picture.slice).toBe(Math.floor(shape[0] / 2));
  });

  it.each(oracles)("shows a diffusion model the same on its own grid: $axis by $factor", async (oracle) => {
    const { axis, factor, downsampling } = oracle;
    const task = taskOf(specOf({ axis, factor, downsampling, strategies: ["diffusion"] }), "diffusion");
    using sample = await task.sample(await caseOf(oracle), 3, draw());
    const condition = (await sample.input.toArray()).slice(0, oracle.volume.length);
    expect(largestDifference(condition, oracle.repeated)).toBeLessThan(1e-6);
  });

  it.each(oracles)("is interpolated as by SciPy: $axis by $factor, $downsampling", async (oracle) => {
    const { axis, factor, downsampling, shape } = oracle;
    const one = await caseOf(oracle);
    const spec = specOf({ axis, factor, downsampling });
    using sample = await taskOf(spec).sample(one, 2, draw());
    using input = await Tensor.gather([sample.input], [0]);
    const answers = await trivialOf(spec).fit([], new AbortController().signal);
    expect(answers.map(({ name }) => name)).toEqual(["linear interpolation", "cubic interpolation"]);
    for (const [index, expected] of [oracle.linear, oracle.cubic].entries()) {
      using answer = (await answers[index]?.answer(one, input)) as Tensor;
      expect(answer.shape).toEqual([1, 1, ...shape]);
      expect(largestDifference(await answer.toArray(), expected)).toBeLessThan(1e-6);
    }
  });

  it("is the paper's where nothing is said: half the slices, by a subpixel head", () => {
    expect(specOf({})).toMatchObject({ ...paper, downsampling: "average" });
    const networks = planStudy(studyOf({})).cells.map(({ network }) => network);
    expect(networks[1]).toMatchObject({ head: { kind: "subpixel" } });
    expect(networks[1]).not.toHaveProperty("output");
    expect(networks[2]).toMatchObject({ model: { family: "transunet-3d", depthScale: 2 } });
    expect(planStudy(studyOf({ axis: ["depth"], factor: [2] })).cells.map(({ network }) => network)).toEqual(
      networks,
    );
  });

  it("has a decoder add to the coarse voxels elsewhere: a fresh one answers with nearly them", async () => {
    const { cells } = planStudy(studyOf({ axis: ["height", "width"], factor: 2 }));
    expect(cells[1]?.network).toMatchObject({
      head: { kind: "upernet" },
      output: { low: -1, high: 1, addedToInput: true },
    });
    expect(cells[2]?.network).toMatchObject({ model: { family: "transunet-3d", depthScale: 1 } });
    const network = cells[1]?.network as Extract<NetworkSpec, { encoder: unknown }>;
    using built = await PlacedNetwork.build(network, { seed: 3 });
    const { channels } = network.encoder;
    const size = 16 * 24 * 36;
    const values = Float32Array.from({ length: channels * size }, (_, voxel) => ((voxel % size) % 97) / 97);
    using input = Tensor.from(values, [1, channels, 16, 24, 36]);
    using answer = await built.forward(input);
    expect(answer.shape).toEqual([1, 1, 16, 24, 36]);
    expect(largestDifference(await answer.toArray(), [...values.subarray(0, size)])).toBeLessThan(0.1);
  });

  it("takes axes by their extent: height, width and depth of cohort.voxels", () => {
    for (const [axis, factor] of [
      ["height", 12],
      ["width", 18],
      ["depth", 8],
    ])
      expect(faultsOf({ axis, factor })).toEqual([]);
  });

  it.each<[object, RegExp]>([
    [{ factor: 3 }, /^cohort\.voxels\.2: expected a depth that is a multiple of 3, .* but received 16$/],
    [{ axis: "height", factor: 5 }, /^cohort\.voxels\.0: .* height .* multiple of 5, .* received 24$/],
    [{ axis: "width", factor: 8 }, /^cohort\.voxels\.1: .* width .* multiple of 8, .* received 36$/],
    [{ factor: 16 }, /^tasks\.0\.factor: expected at most 8, .*depth of 16 .* but received 16$/],
    [
      { axis: "height", factor: 48 },
      /^tasks\.0\.factor: expected at most 12, .*height of 24 .* received 48$/,
    ],
    [{ factor: 1 }, /^tasks\.0\.factor: .*2.* received 1$/],
    [{ factor: 2.5 }, /^tasks\.0\.factor: .*whole number.* received 2\.5$/],
    [{ axis: "heigth" }, /^tasks\.0\.axis: .*height/],
    [{ axis: ["height", "height"] }, /^tasks\.0\.axis: expected each axis once but received height, height$/],
    [
      { axis: ["height", "width"], factor: [2, 2, 2] },
      /^tasks\.0\.factor: expected one number, or one for each of the axes \(height, width\), but received 3$/,
    ],
    [{ axis: [] }, /^tasks\.0\.axis/],
  ])("is refused as %j, with what to write instead", (task, message) => {
    const faults = faultsOf(task);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(message);
  });
});

describe("A study of super-resolution in the plane", () => {
  it("is run to its end, each network beside interpolation", async () => {
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 5, voxels: [32, 32, 16] });
    await runStudy({
      ...tinyStudy(folder, "results"),
      split: { train: 3, validation: 1, test: 2 },
      tasks: [{ kind: "super-resolution", name: "in-plane", axis: ["height", "width"], factor: 2 }],
      comparators: ["fine-tuned"],
      training: { epochs: 1 },
    });
    const results = await readResults(join(folder, "results"));
    const values = results.cells.flatMap(({ comparator, result }) =>
      result ? [[comparator, result.metric.mean] as const] : [],
    );
    const comparators = values.map(([comparator]) => comparator);
    expect(comparators).toContain("fine-tuned");
    expect(comparators).toContain("trivial");
    for (const [, mean] of values) expect(mean).toBeGreaterThan(0);
  }, 300_000);
});
