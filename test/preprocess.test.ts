import { mkdir, mkdtemp, readFile, rename, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { CohortCase, Manifest, VolumeRole } from "../dist/cohort/manifest.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { type PreparedCase, type PreprocessOptions, prepareCohort } from "../dist/cohort/preprocess.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { shared, sharedMissing } from "./shared.js";

type Vector = [number, number, number];

/** A scan: unit vectors of the axes i, j, k in the patient (LPS), voxel sizes and counts along them, and its middle. */
interface Scan {
  axes: [Vector, Vector, Vector];
  spacing: Vector;
  size: Vector;
  middle: Vector;
}

const dot = (a: readonly number[], b: readonly number[]) =>
  a.reduce((sum, value, n) => sum + value * b[n], 0);
const add = (a: Vector, b: Vector, factor = 1) => a.map((value, n) => value + factor * b[n]) as Vector;

/** The axes of the patient, turned about x, y and z by degrees. */
function turned(...degrees: Vector): [Vector, Vector, Vector] {
  const [a, b, c] = degrees.map((angle) => (angle * Math.PI) / 180);
  const turn = ([x, y, z]: Vector): Vector => {
    [y, z] = [y * Math.cos(a) - z * Math.sin(a), y * Math.sin(a) + z * Math.cos(a)];
    [x, z] = [x * Math.cos(b) + z * Math.sin(b), z * Math.cos(b) - x * Math.sin(b)];
    return [x * Math.cos(c) - y * Math.sin(c), x * Math.sin(c) + y * Math.cos(c), z];
  };
  return [turn([1, 0, 0]), turn([0, 1, 0]), turn([0, 0, 1])];
}
const reversed = (v: Vector) => v.map((value) => -value) as Vector;

/** Writes `value(position)`, sampled at the centre of every voxel, as MetaImage (float32). */
async function writeScan(path: string, scan: Scan, value: (position: Vector) => number): Promise<string> {
  const { axes, spacing, size, middle } = scan;
  const steps = axes.map((axis, n) => axis.map((component) => component * spacing[n]) as Vector);
  const origin = steps.reduce((place, step, n) => add(place, step, -(size[n] - 1) / 2), middle);
  const data = new Float32Array(size[0] * size[1] * size[2]);
  let voxel = 0;
  for (let k = 0; k < size[2]; k++)
    for (let j = 0; j < size[1]; j++)
      for (let i = 0; i < size[0]; i++)
        data[voxel++] = value(add(add(add(origin, steps[0], i), steps[1], j), steps[2], k));
  const header = [
    "ObjectType = Image",
    "NDims = 3",
    "BinaryData = True",
    "BinaryDataByteOrderMSB = False",
    "CompressedData = False",
    `TransformMatrix = ${axes.flat().join(" ")}`,
    `Offset = ${origin.join(" ")}`,
    `ElementSpacing = ${spacing.join(" ")}`,
    `DimSize = ${size.join(" ")}`,
    "ElementType = MET_FLOAT",
    "ElementDataFile = LOCAL\n",
  ];
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, Buffer.concat([Buffer.from(header.join("\n")), Buffer.from(data.buffer)]));
  return path;
}

/** A Gaussian blob around a landmark; nothing is anywhere else. */
const blob =
  (landmark: Vector, width = 4) =>
  (p: Vector) =>
    1000 * Math.exp(-add(p, landmark, -1).reduce((sum, d) => sum + d * d, 0) / (2 * width * width));
const ball = (landmark: Vector, radius: number) => (p: Vector) =>
  Math.hypot(...add(p, landmark, -1)) <= radius ? 1 : 0;

let folder: string;
let cache: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "preprocess-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
let count = 0;
beforeEach(() => {
  cache = join(folder, `cache-${count++}`);
});

const cohortOf = (...cases: { id: string; volumes: CohortCase["volumes"] }[]): Manifest => ({
  path: join(folder, "manifest.csv"),
  columns: [],
  cases: cases.map((found, line) => ({
    patient: found.id,
    labels: { pirads: 3 },
    extra: {},
    line,
    ...found,
  })),
});

async function volumeOf(prepared: PreparedCase, role: VolumeRole): Promise<Float32Array> {
  using tensor = await (await readSafetensors(prepared.file)).tensor(role);
  return (await tensor.toArray()) as Float32Array;
}

/** The centre of gravity of a volume [D, H, W], in voxels. */
function centroid(values: Float32Array, [D, H, W]: Vector): Vector {
  const sums = [0, 0, 0, 0];
  let voxel = 0;
  for (let k = 0; k < D; k++)
    for (let j = 0; j < H; j++)
      for (let i = 0; i < W; i++) {
        const value = values[voxel++];
        [k, j, i, 1].forEach((weight, n) => {
          sums[n] += weight * value;
        });
      }
  return [sums[0] / sums[3], sums[1] / sums[3], sums[2] / sums[3]];
}

const axial = turned(7, -3, 4);
const sagittal = turned(-4, 3, 6);
const scans: {
  name: string;
  t2w: Scan /** Directions of the crop's k, j, i, worked out by hand. */;
  crop: Vector[];
}[] = [
  {
    name: "axial oblique T2W",
    t2w: { axes: axial, spacing: [0.7, 0.7, 3], size: [128, 120, 26], middle: [12, -31, 40] },
    crop: [axial[2], axial[1], axial[0]],
  },
  {
    name: "T2W whose columns, rows and slices run the other way",
    t2w: {
      axes: [reversed(axial[0]), reversed(axial[1]), axial[2]],
      spacing: [0.8, 0.6, 2.4],
      size: [110, 140, 32],
      middle: [-5, 20, -300],
    },
    crop: [axial[2], axial[1], axial[0]],
  },
  {
    name: "sagittal T2W: columns to the back, rows to the feet, slices to the right",
    t2w: {
      axes: [sagittal[1], reversed(sagittal[2]), reversed(sagittal[0])],
      spacing: [0.9, 0.6, 2],
      size: [100, 140, 44],
      middle: [3, 4, 5],
    },
    crop: [sagittal[2], sagittal[1], sagittal[0]],
  },
];

describe("a landmark on scans that are oblique to each other", () => {
  it.each(scans)("lies at the predicted voxel to 0.1: $name", async ({ name, t2w, crop }) => {
    const place = join(folder, name);
    const landmark = add(t2w.middle, [5.3, -4.1, 3.7]);
    const glandMiddle = add(t2w.middle, [3, -6, 2]);
    const diffusion: Scan = {
      axes: turned(-9, 5, -12),
      spacing: [1.9, 2.1, 3.3],
      size: [70, 66, 30],
      middle: add(t2w.middle, [-4, 3, 2]),
    };
    const volumes = {
      t2w: await writeScan(join(place, "t2w.mha"), t2w, blob(landmark)),
      adc: await writeScan(join(place, "adc.mha"), diffusion, blob(landmark)),
      hbv: await writeScan(join(place, "hbv.mha"), { ...diffusion, axes: axial }, blob(landmark)),
      lesion: await writeScan(join(place, "lesion.mha"), diffusion, ball(landmark, 9)),
      gland: await writeScan(
        join(place, "gland.mha"),
        { ...t2w, spacing: [1, 1, 1], size: [90, 90, 90] },
        ball(glandMiddle, 25),
      ),
    };
    const shape: Vector = [30, 56, 48];
    const fieldOfView: Vector = [66, 62, 60];
    const { cases, excluded } = await prepareCohort(
      cohortOf({ id: "landmark", volumes }),
      {
        voxels: [shape[1], shape[2], shape[0]],
        crop: { around: "gland", fieldOfView: [fieldOfView[1], fieldOfView[2], fieldOfView[0]] },
        normalise: Object.fromEntries(
          ["t2w", "adc", "hbv"].map((role) => [role, { kind: "percentiles", low: 0, high: 100 }]),
        ),
      },
      { cache },
    );
    expect(excluded).toEqual([]);
    const spacing = fieldOfView.map((reach, axis) => reach / shape[axis]);
    cases[0].spacing.forEach((value, axis) => {
      expect(value).toBeCloseTo(spacing[axis], 9);
    });
    // The gland's box is only known to a voxel of its mask: how far its middle may be from where it was drawn.
    const predicted = crop.map(
      (direction, axis) =>
        dot(add(landmark, glandMiddle, -1), direction) / spacing[axis] + (shape[axis] - 1) / 2,
    );
    const inPatient = centroid(await volumeOf(cases[0], "t2w"), shape);
    predicted.forEach((value, axis) => {
      expect(Math.abs(inPatient[axis] - value)).toBeLessThan(0.1 + 0.5 / spacing[axis]);
    });
    for (const role of ["adc", "hbv", "lesion"] as const) {
      const found = centroid(await volumeOf(cases[0], role), shape);
      found.forEach((value, axis) => {
        expect(Math.abs(value - inPatient[axis])).toBeLessThan(0.1);
      });
    }
  });

  it.each(scans)(
    "lies at the predicted voxel to 0.1 in a crop around the centre: $name",
    async ({ t2w, crop, name }) => {
      const landmark = add(t2w.middle, [-6.2, 5.9, -4.4]);
      const place = join(folder, `${name}, centre`);
      const volumes = {
        t2w: await writeScan(join(place, "t2w.mha"), t2w, blob(landmark)),
        adc: await writeScan(
          join(place, "adc.mha"),
          { ...t2w, axes: turned(11, 6, -8), spacing: [1.7, 1.7, 2.5], size: [80, 80, 40] },
          blob(landmark),
        ),
      };
      const whole: PreprocessOptions = {
        voxels: [64, 60, 28],
        crop: { around: "centre", fieldOfView: "whole" },
      };
      const { cases } = await prepareCohort(cohortOf({ id: "centre", volumes }), whole, { cache });
      const shape: Vector = [28, 64, 60];
      const reach = crop.map((direction) => {
        const axis = t2w.axes.findIndex((own) => Math.abs(dot(own, direction)) > 0.99);
        return t2w.size[axis] * t2w.spacing[axis];
      });
      for (const role of ["t2w", "adc"] as const) {
        const found = centroid(await volumeOf(cases[0], role), shape);
        crop.forEach((direction, axis) => {
          const spacing = reach[axis] / shape[axis];
          const predicted = dot(add(landmark, t2w.middle, -1), direction) / spacing + (shape[axis] - 1) / 2;
          expect(Math.abs(found[axis] - predicted)).toBeLessThan(0.1);
        });
      }
    },
  );
});

const plain: Scan = { axes: turned(0, 0, 0), spacing: [1, 1, 1], size: [24, 24, 24], middle: [0, 0, 0] };
const options: PreprocessOptions = {
  voxels: [16, 16, 16],
  crop: { around: "gland", fieldOfView: [16, 16, 16] },
};

/** A small case on one grid: a blob and a gland around it. */
async function smallCase(id: string, landmark: Vector = [1, 2, 0]) {
  const place = join(folder, id);
  return {
    id,
    volumes: {
      t2w: await writeScan(join(place, "t2w.mha"), plain, blob(landmark)),
      gland: await writeScan(join(place, "gland.mha"), plain, ball(landmark, 5)),
    },
  };
}

describe("what cannot be used", () => {
  it("leaves its case out with file and reason, and the rest goes on", async () => {
    const good = await smallCase("good");
    const empty = await smallCase("empty-gland");
    await writeScan(empty.volumes.gland, plain, () => 0);
    const off = await smallCase("mask-elsewhere");
    await writeScan(off.volumes.gland, { ...plain, middle: [500, 0, 0] }, ball([500, 0, 0], 5));
    const blank = await smallCase("blank");
    await writeScan(blank.volumes.t2w, plain, () => 4);
    const missing = { id: "missing", volumes: { ...good.volumes, adc: join(folder, "missing", "adc.mha") } };
    const notFinite = await smallCase("not-finite");
    await writeScan(notFinite.volumes.t2w, plain, ([x]) => (x === 0.5 ? Number.NaN : 1));
    const elsewhere = await smallCase("adc-elsewhere");
    const adc = await writeScan(
      join(folder, "adc-elsewhere", "adc.mha"),
      { ...plain, middle: [0, 900, 0] },
      () => 5,
    );
    const events: string[] = [];
    const cohort = cohortOf(empty, off, blank, missing, good, notFinite, {
      ...elsewhere,
      volumes: { ...elsewhere.volumes, adc },
    });
    const { cases, excluded } = await prepareCohort(cohort, options, {
      cache,
      onCase: (event) => events.push(`${event.case} ${event.excluded === null ? "ready" : "left out"}`),
    });
    expect(cases.map(({ id }) => id)).toEqual(["good"]);
    expect(excluded.map((exclusion) => [exclusion.case, exclusion.file])).toEqual([
      ["empty-gland", "empty-gland/gland.mha"],
      ["mask-elsewhere", "mask-elsewhere/gland.mha"],
      ["blank", "blank/t2w.mha"],
      ["missing", "missing/adc.mha"],
      ["not-finite", "not-finite/t2w.mha"],
      ["adc-elsewhere", "adc-elsewhere/adc.mha"],
    ]);
    const reasons = [/is empty: there is no gland/, /does not lie on its image/, /shows nothing/];
    reasons.push(/there is no such file/, /not finite numbers/, /reaches the crop/);
    reasons.forEach((reason, index) => {
      expect(excluded[index].reason).toMatch(reason);
      expect(excluded[index].reason).not.toContain(folder);
    });
    expect([...events].sort()).toEqual([
      "adc-elsewhere left out",
      "blank left out",
      "empty-gland left out",
      "good ready",
      "mask-elsewhere left out",
      "missing left out",
      "not-finite left out",
    ]);
    expect(Tensor.live).toBe(0);
  });

  it("names the masks that show nothing in the crop, also when the case is found in the cache", async () => {
    const { id, volumes } = await smallCase("empty-lesion");
    const lesion = await writeScan(join(folder, id, "lesion.mha"), plain, () => 0);
    for (const _ of ["made", "found"]) {
      const { cases } = await prepareCohort(cohortOf({ id, volumes: { ...volumes, lesion } }), options, {
        cache,
      });
      expect(cases[0]?.emptyMasks).toEqual(["lesion"]);
    }
    const { cases } = await prepareCohort(cohortOf({ id, volumes }), options, { cache });
    expect(cases[0]).not.toHaveProperty("emptyMasks");
  });

  it("does not include a gland that the manifest does not have: the crop is then around the centre", async () => {
    const { volumes } = await smallCase("no-gland", [4, 0, 0]);
    const { cases } = await prepareCohort(
      cohortOf({ id: "no-gland", volumes: { t2w: volumes.t2w } }),
      options,
      { cache },
    );
    const found = await volumeOf(cases[0], "t2w");
    // The brightest voxel lies 4 mm to the left of the middle.
    expect(found.indexOf(Math.max(...found)) % 16).toBeGreaterThan(9);
    expect(cases[0].volumes).toEqual(["t2w"]);
  });

  it("stops the whole when an option is impossible, or when it is told to", async () => {
    const cohort = cohortOf(await smallCase("options"));
    const bad = { ...options, voxels: [16, 16, 0] as Vector };
    await expect(prepareCohort(cohort, bad, { cache })).rejects.toMatchObject({ code: "BAD_INPUT" });
    const signal = AbortSignal.abort();
    await expect(prepareCohort(cohort, options, { cache, signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
  });
});

describe("the cache", () => {
  const prepare = async (cohort: Manifest, changes: Partial<PreprocessOptions> = {}) => {
    const { cases, excluded } = await prepareCohort(cohort, { ...options, ...changes }, { cache });
    return { file: cases[0]?.file as string, excluded };
  };

  it("lets a second run read none of the originals, and sees when one has changed", async () => {
    const found = await smallCase("twice");
    const cohort = cohortOf(found);
    const before = new Date(1_700_000_000_000);
    for (const path of Object.values(found.volumes)) await utimes(path, before, before);
    const first = await prepare(cohort);
    const voxels = await readFile(first.file);

    // Rubbish of the same size and time: whoever reads it must refuse it.
    const originals = await Promise.all(Object.values(found.volumes).map((path) => readFile(path)));
    for (const path of Object.values(found.volumes)) {
      await writeFile(path, Buffer.alloc((await stat(path)).size, 0x7f));
      await utimes(path, before, before);
    }
    expect(await prepare(cohort)).toEqual(first);
    expect((await readFile(first.file)).equals(voxels)).toBe(true);

    await utimes(found.volumes.t2w, new Date(), new Date());
    expect((await prepare(cohort)).excluded).toHaveLength(1);

    // The content is back: the entry is found again, though the times are new.
    const paths = Object.values(found.volumes);
    for (const [index, path] of paths.entries()) await writeFile(path, originals[index]);
    expect(await prepare(cohort)).toEqual(first);
  });

  it("names entries after content and options, wherever the originals lie", async () => {
    const found = await smallCase("moved");
    const first = await prepare(cohortOf(found));
    await rename(join(folder, "moved"), join(folder, "moved-away"));
    const volumes = Object.fromEntries(
      Object.entries(found.volumes).map(([role, path]) => [role, path.replace("/moved/", "/moved-away/")]),
    );
    expect(await prepare(cohortOf({ id: "other-name", volumes }))).toEqual(first);
    const other = await prepare(cohortOf({ id: "other-name", volumes }), { masks: "nearest" });
    expect(other.file).not.toBe(first.file);
  });

  it("computes a damaged entry again", async () => {
    const cohort = cohortOf(await smallCase("damaged"));
    const { file } = await prepare(cohort);
    const bytes = await readFile(file);
    for (const damage of [
      () => truncate(file, bytes.length - 5),
      () => writeFile(file, ""),
      () => writeFile(file, Buffer.concat([Buffer.alloc(20), bytes.subarray(20)])),
    ]) {
      await damage();
      expect((await prepare(cohort)).file).toBe(file);
      expect((await readFile(file)).equals(bytes)).toBe(true);
    }
  });

  it("survives an index that a crash tore, and one that is rubbish", async () => {
    const cohort = cohortOf(await smallCase("torn"));
    const first = await prepare(cohort);
    const index = join(cache, "originals.jsonl");
    const lines = await readFile(index, "utf8");
    await writeFile(index, `${lines.slice(0, -40)}`);
    expect(await prepare(cohort)).toEqual(first);
    await writeFile(index, '\0\0\n{"path": 3}\n[]\n');
    expect(await prepare(cohort)).toEqual(first);
  });

  it("notices that the data file of a header has changed", async () => {
    const found = await smallCase("detached");
    const bytes = await readFile(found.volumes.t2w);
    const start = bytes.indexOf("LOCAL\n") + 6;
    const header = join(folder, "detached", "t2w.mhd");
    const data = join(folder, "detached", "t2w.raw");
    await writeFile(header, bytes.subarray(0, start).toString().replace("LOCAL", "t2w.raw"));
    await writeFile(data, bytes.subarray(start));
    const cohort = cohortOf({ id: "detached", volumes: { ...found.volumes, t2w: header } });
    const first = await prepare(cohort);
    const voxels = new Float32Array(bytes.subarray(start).buffer.slice(bytes.byteOffset + start)).map(
      (v) => v * 0.5 + 3,
    );
    voxels[0] = 99;
    await writeFile(data, Buffer.from(voxels.buffer));
    expect((await prepare(cohort)).file).not.toBe(first.file);
  });
});

describe.skipIf(sharedMissing)("real scans (needs the shared folder beside the checkout)", () => {
  it("are prepared, with the lesion where ADC is low", async () => {
    const manifest = await readManifest(shared("data", "prostate", "manifest.csv"));
    const { cases, excluded } = await prepareCohort(
      manifest,
      {
        voxels: [64, 64, 24],
        crop: { around: "gland", fieldOfView: [80, 80, 72] },
        normalise: { adc: { kind: "range", low: 0, high: 3000 } },
      },
      { cache },
    );
    expect(excluded).toEqual([]);
    expect(cases).toHaveLength(3);
    for (const prepared of cases) {
      const [adc, gland, lesion] = await Promise.all(
        (["adc", "gland", "lesion"] as const).map((role) => volumeOf(prepared, role)),
      );
      const meanWhere = (inside: (voxel: number) => boolean) => {
        const values = [...adc].filter((_, voxel) => inside(voxel));
        return values.reduce((sum, value) => sum + value, 0) / values.length;
      };
      const inGland = meanWhere((voxel) => gland[voxel] > 0);
      expect(inGland).toBeGreaterThan(0.25);
      if (lesion.some((value) => value > 0))
        expect(meanWhere((voxel) => lesion[voxel] > 0)).toBeLessThan(0.85 * inGland);
    }
  });
});
