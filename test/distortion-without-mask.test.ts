import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CaseVolumes, openCase } from "../dist/cohort/case-volumes.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { randomStream } from "../dist/common/random.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { runStudy } from "../dist/study/run/run.js";
import { drawField } from "../dist/tasks/distorting.js";
import type { DistortionCorrectionOptions } from "../dist/tasks/distortion-correction.js";
import { type TaskSpec, taskOf } from "../dist/tasks/index.js";
import { readResults, tinyStudy } from "./study-fixture.js";

type Triple = [number, number, number];
const shape: Triple = [12, 20, 18];
const size = 12 * 20 * 18;
const spacing: Triple = [3, 2, 2];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-no-mask-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const withoutMasks = { images: { t1: {} } };
const withMasks = { images: { t1: {} }, masks: { liver: {} } };

const resolved = (columns: object | undefined, task: object) =>
  resolveStudy(
    {
      name: "any",
      cohort: { manifest: "m.csv", voxels: [20, 18, 12], ...(columns ? { columns } : {}) },
      models: [{ name: "one", encoder: "profound-demo", pretrain: {} }],
      tasks: [{ kind: "distortion-correction", ...task }],
      comparators: ["fine-tuned"],
    },
    folder,
  );
function specOf(columns: object | undefined, task: object = {}) {
  const made = resolved(columns, task);
  if ("faults" in made) throw new Error(JSON.stringify(made.faults));
  return made.study.tasks[0] as TaskSpec & DistortionCorrectionOptions;
}
function faultsOf(columns: object | undefined, task: object): string[] {
  const made = resolved(columns, task);
  return "faults" in made ? made.faults.map(({ path, message }) => `${path.join(".")}: ${message}`) : [];
}

/** A ramp along the rows, and the mask of a part of it, or one that shows nothing. */
async function caseOf(name: string, liver?: (voxel: number) => boolean): Promise<CaseVolumes> {
  const file = join(folder, `${name}.safetensors`);
  const image = Float32Array.from({ length: size }, (_, voxel) => (Math.floor(voxel / 18) % 20) / 19);
  using t1 = Tensor.from(image, shape);
  using mask = Tensor.from(
    Float32Array.from(image, (_, voxel) => Number(liver?.(voxel) ?? false)),
    shape,
  );
  await writeSafetensors(file, liver ? { t1, liver: mask } : { t1 });
  const empty = liver !== undefined && !image.some((_, voxel) => liver(voxel));
  return openCase(
    {
      id: name,
      patient: name,
      labels: {},
      file,
      volumes: liver ? ["t1", "liver"] : ["t1"],
      spacing,
      ...(empty ? { emptyMasks: ["liver"] } : {}),
    },
    "cpu",
  );
}
const rows = async (field: Tensor) =>
  ((await field.toArray()) as Float32Array).subarray(size, 2 * size) as Float32Array;

/**
 * u in voxels where nothing decays: the uniform cubic B-spline of the stream's normal numbers by its closed form, scaled to the
 * largest displacement and down until no voxel folds.
 */
function splineAlone(stream: ReturnType<typeof randomStream>, options: DistortionCorrectionOptions) {
  const nodes = shape.map(
    (extent, axis) =>
      3 + Math.max(1, Math.round(((extent - 1) * (spacing[axis] as number)) / options.smoothness)),
  ) as Triple;
  const control = Array.from({ length: nodes[0] * nodes[1] * nodes[2] }, () => stream.normal());
  const basis = (x: number): number => {
    const far = Math.abs(x);
    if (far < 1) return 2 / 3 - far ** 2 + far ** 3 / 2;
    return far < 2 ? (2 - far) ** 3 / 6 : 0;
  };
  // The outermost voxels lie at the second and the last but one coefficient.
  const weights = shape.map((extent, axis) =>
    Array.from({ length: extent }, (_, voxel) =>
      Array.from({ length: nodes[axis] as number }, (_, node) =>
        basis(1 + (voxel * ((nodes[axis] as number) - 3)) / (extent - 1) - node),
      ),
    ),
  ) as number[][][];
  const u = new Float64Array(size);
  for (let voxel = 0; voxel < size; voxel++) {
    const place = [Math.floor(voxel / 360), Math.floor(voxel / 18) % 20, voxel % 18];
    const [d, h, w] = place.map((at, axis) => weights[axis]?.[at] as number[]) as [
      number[],
      number[],
      number[],
    ];
    for (const [n, coefficient] of control.entries()) {
      const [a, b, c] = [
        Math.floor(n / (nodes[1] * nodes[2])),
        Math.floor(n / nodes[2]) % nodes[1],
        n % nodes[2],
      ];
      u[voxel] += (d[a] as number) * (h[b] as number) * (w[c] as number) * coefficient;
    }
  }
  const largest = Math.max(...u.map(Math.abs));
  const whole = options.maximumDisplacement / (largest * spacing[1]);
  let fall = 0;
  for (let voxel = 18; voxel < size; voxel++)
    if (Math.floor(voxel / 18) % 20 > 0)
      fall = Math.max(fall, whole * ((u[voxel - 18] as number) - (u[voxel] as number)));
  return u.map((value) => value * whole * Math.min(1, 0.9 / fall));
}

describe("Distortion correction of a cohort without any mask", () => {
  it("distorts all of the crop: no case needs more than the image", () => {
    const spec = specOf(withoutMasks);
    expect(spec).toMatchObject({ image: "t1", source: "everywhere" });
    expect(taskOf(spec).needs).toEqual([{ oneOf: ["t1"] }]);
    expect(taskOf(spec).missing({ roles: ["t1"], labels: {} })).toBeNull();
    expect(specOf(JSON.parse(JSON.stringify(withoutMasks)), { source: "everywhere" })).toEqual(spec);
  });

  it("has a field that is its B-spline alone, which decays nowhere and folds nowhere", async () => {
    for (const task of [{}, { maximumDisplacement: 40, smoothness: 20 }]) {
      const spec = specOf(withoutMasks, task);
      using field = await drawField(await caseOf("plain"), spec, randomStream(5, "field"));
      const expected = splineAlone(randomStream(5, "field"), spec);
      const values = await rows(field);
      let largest = 0;
      for (let voxel = 0; voxel < size; voxel++)
        largest = Math.max(largest, Math.abs((values[voxel] as number) - (expected[voxel] as number)));
      expect(largest).toBeLessThan(1e-4);
      // Far from any one place as near to it: `decay` changes nothing.
      using same = await drawField(await caseOf("plain"), { ...spec, decay: 1 }, randomStream(5, "field"));
      expect(await rows(same)).toEqual(values);
    }
  });

  it("shows the image at where the field says, its edges repeated, and asks for all of it", async () => {
    const spec = specOf(withoutMasks);
    const one = await caseOf("ramp");
    using sample = await taskOf(spec).sample(one, 1, randomStream(7, "sample"));
    const u = splineAlone(randomStream(7, "sample"), spec);
    const shown = (await sample.input.toArray()) as Float32Array;
    // The image is a ramp along the rows: where it is sampled is what it shows.
    for (let voxel = 0; voxel < size; voxel++) {
      const at = (Math.floor(voxel / 18) % 20) + (u[voxel] as number);
      expect(shown[voxel]).toBeCloseTo(Math.min(Math.max(at, 0), 19) / 19, 4);
    }
    expect(sample.target.shape).toEqual([1, ...shape]);
  });

  it("is run to its end", async () => {
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 5, voxels: [32, 32, 16] });
    const study = tinyStudy(folder, "results");
    await runStudy({
      ...study,
      cohort: { ...study.cohort, columns: { images: { t2w: {} } } },
      tasks: ["distortion-correction"],
      specialised: {},
      comparators: ["fine-tuned"],
      training: { epochs: 1 },
    });
    const { cells } = await readResults(join(folder, "results"));
    const trivial = cells.find(({ comparator }) => comparator === "trivial")?.result;
    expect(trivial?.metric.cases).toHaveLength(2);
    expect(trivial?.metric.mean).toBeLessThan(0.99);
    expect(cells.find(({ comparator }) => comparator === "fine-tuned")?.result).toBeDefined();
  }, 300_000);
});

describe("Distortion correction where some cases have no mask", () => {
  const left = (voxel: number) => voxel % 18 < 4;

  it("leaves those out and says how to keep them, or distorts all of their crop", async () => {
    const strict = specOf(withMasks, { mask: "liver" });
    const lenient = specOf(withMasks, { mask: "liver", withoutMask: "everywhere" });
    expect(taskOf(strict).missing({ roles: ["t1"], labels: {} })).toMatch(
      /no liver mask: .*liver column.*withoutMask to everywhere/,
    );
    expect(taskOf(lenient).missing({ roles: ["t1"], labels: {} })).toBeNull();
    await expect(drawField(await caseOf("none"), strict, randomStream(2, "field"))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/liver mask.*case none/),
    });

    const everywhere = specOf(withMasks, { source: "everywhere" });
    for (const one of [await caseOf("none"), await caseOf("empty", () => false)]) {
      using field = await drawField(one, lenient, randomStream(2, "field"));
      using whole = await drawField(one, everywhere, randomStream(2, "field"));
      expect(await rows(field)).toEqual(await rows(whole));
    }
    const shown = await caseOf("left", left);
    using kept = await drawField(shown, lenient, randomStream(2, "field"));
    using decaying = await drawField(shown, strict, randomStream(2, "field"));
    expect(await rows(kept)).toEqual(await rows(decaying));
    using whole = await drawField(shown, everywhere, randomStream(2, "field"));
    expect(await rows(whole)).not.toEqual(await rows(kept));
  });

  it("takes the rectum where the cohort has it, as the paper does, unless another mask is named", () => {
    expect(specOf(undefined)).toMatchObject({ image: "t2w", source: "rectum", withoutMask: "left-out" });
    expect(specOf({ images: { t1: {} }, masks: { rectum: {} } })).toMatchObject({ source: "rectum" });
    expect(specOf(withMasks)).toMatchObject({ source: "everywhere" });
    expect(specOf(withMasks, { mask: "liver" })).not.toHaveProperty("source");
  });

  it("refuses two answers to where fields decay from", () => {
    expect(faultsOf(withMasks, { mask: "liver", source: "everywhere" })).toEqual([
      'tasks.0.source: expected none beside "mask", from which fields decay in its place, but received "everywhere"',
    ]);
  });
});
