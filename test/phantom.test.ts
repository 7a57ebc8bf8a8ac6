import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { volumeRolesOf } from "../dist/cohort/columns.js";
import { readImage } from "../dist/cohort/image.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { drawPatient, writePhantomCohort } from "../dist/cohort/phantom.js";
import { drawAnatomy, type PhantomLesion, piradsOf } from "../dist/cohort/phantom-anatomy.js";
import { prostateColumns } from "../dist/cohort/presets/prostate.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { type PhantomScene, type PhantomTissue, renderPhantom } from "../dist/native/volumes.js";

const grid = {
  shape: [16, 24, 24] as [number, number, number],
  spacing: [2, 2, 2] as [number, number, number],
  voxelToPatient: [0, 0, 2, -23, 0, 2, 0, -23, 2, 0, 0, -15],
};
const everywhere: Pick<PhantomTissue, "centre" | "radii" | "rotation" | "texture" | "textureSize"> = {
  centre: [0, 0, 0],
  radii: [500, 500, 500],
  rotation: 0,
  texture: 0,
  textureSize: 1,
};
const scene = (tissues: PhantomTissue[], changes: Partial<PhantomScene> = {}): PhantomScene => ({
  background: { t2Milliseconds: 50, adc: 1000, protonDensity: 0 },
  tissues,
  t2w: { grid, echoMilliseconds: 100 },
  diffusion: { grid, echoMilliseconds: 70, highB: 1400 },
  noise: 0,
  biasField: 0,
  seed: 7,
  ...changes,
});
async function render(wanted: PhantomScene) {
  const rendered = await renderPhantom(wanted);
  const entries = Object.entries(rendered).map(async ([name, tensor]) => {
    const values = [...((await tensor.toArray()) as Float32Array)];
    tensor.dispose();
    return [name, values] as const;
  });
  return Object.fromEntries(await Promise.all(entries)) as Record<keyof typeof rendered, number[]>;
}
const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("the phantom's signals", () => {
  const tissues = [
    { name: "peripheral zone", t2Milliseconds: 165, adc: 1700, protonDensity: 0.9 },
    { name: "cancer", t2Milliseconds: 75, adc: 700, protonDensity: 0.9 },
    { name: "muscle", t2Milliseconds: 46, adc: 1350, protonDensity: 0.8 },
  ];
  it.each(tissues)(
    "of $name follow the signal equations where there is no noise",
    async ({ name: _, ...tissue }) => {
      const { t2w, adc, hbv, labels } = await render(scene([{ ...everywhere, label: 3, ...tissue }]));
      const echo = (milliseconds: number) =>
        tissue.protonDensity * Math.exp(-milliseconds / tissue.t2Milliseconds);
      for (const value of t2w) expect(value).toBeCloseTo(echo(100), 5);
      for (const value of hbv) expect(value).toBeCloseTo(echo(70) * Math.exp(-1400 * tissue.adc * 1e-6), 5);
      for (const value of adc) expect(value).toBeCloseTo(tissue.adc, 1);
      expect(new Set(labels)).toEqual(new Set([3]));
    },
  );

  it.each(tissues)("give an ADC of $name that is right within its noise", async ({ name: _, ...tissue }) => {
    const noise = 0.005;
    const { adc } = await render(scene([{ ...everywhere, label: 1, ...tissue }], { noise }));
    // Propagation of errors through the logarithm of the two images' ratio; the brightest tissue is this one.
    const relative = [50, 1400].map((b) => noise / Math.exp(-b * tissue.adc * 1e-6));
    const deviation = (Math.hypot(...relative) / (1400 - 50)) * 1e6;
    const spread = Math.sqrt(mean(adc.map((value) => (value - mean(adc)) ** 2)));
    expect(Math.abs(mean(adc) - tissue.adc)).toBeLessThan(0.1 * deviation + 5);
    expect(spread / deviation).toBeGreaterThan(0.93);
    expect(spread / deviation).toBeLessThan(1.07);
  });

  it("have Rician noise: its mean is noise * sqrt(pi / 2) where there is no signal", async () => {
    const noise = 0.03;
    const bright = { ...everywhere, label: 1, t2Milliseconds: 200, adc: 500, protonDensity: 1 };
    const gas = { ...everywhere, label: 2, t2Milliseconds: 5, adc: 0, protonDensity: 0 };
    const { t2w, hbv } = await render(scene([bright, gas], { noise }));
    for (const [image, echo] of [
      [t2w, 100],
      [hbv, 70],
    ] as const) {
      const sigma = noise * Math.exp(-echo / 200);
      const standardError = (sigma * Math.sqrt(2 - Math.PI / 2)) / Math.sqrt(image.length);
      expect(Math.abs(mean(image) - sigma * Math.sqrt(Math.PI / 2))).toBeLessThan(4 * standardError);
    }
  });

  it("mix in the voxels that an edge crosses, and only there", async () => {
    const ball = { ...everywhere, radii: [10, 10, 10] as [number, number, number] };
    const { t2w, labels } = await render(
      scene([{ ...ball, label: 1, t2Milliseconds: 100, adc: 1000, protonDensity: 1 }]),
    );
    const full = Math.exp(-1);
    // The shares of all voxels together are the volume of the ball.
    const volume = (t2w.reduce((sum, value) => sum + value, 0) / full) * 8;
    expect(Math.abs(volume / ((4 / 3) * Math.PI * 1000) - 1)).toBeLessThan(0.02);
    const mixed = t2w.filter((value) => value > 0.01 * full && value < 0.99 * full).length;
    expect(mixed).toBeGreaterThan(100);
    expect(mixed).toBeLessThan(t2w.length / 5);
    labels.forEach((label, voxel) => {
      expect(label).toBe(t2w[voxel] >= 0.4999 * full ? 1 : 0);
    });
  });

  it("of fat are suppressed in diffusion images, and shown on T2W", async () => {
    const fat = { ...everywhere, label: 1, t2Milliseconds: 125, adc: 200, protonDensity: 0.9, fat: 0.95 };
    const { t2w, hbv } = await render(scene([fat]));
    expect(t2w[0]).toBeCloseTo(0.9 * Math.exp(-100 / 125), 5);
    expect(hbv[0]).toBeCloseTo(0.05 * 0.9 * Math.exp(-70 / 125) * Math.exp(-0.28), 5);
  });

  it("are the same on one thread and on two, and differ with the seed", async () => {
    const patient = drawPatient(3, 1, [24, 24, 10]);
    setThreads(1);
    const one = await render(patient.scene);
    setThreads(2);
    expect(await render(patient.scene)).toEqual(one);
    const other = await render({ ...patient.scene, seed: patient.scene.seed + 1 });
    expect(other.t2w).not.toEqual(one.t2w);
    expect(other.labels).toEqual(one.labels);
  });

  it("refuse a scene that cannot be", async () => {
    const tissue = { ...everywhere, label: 1, t2Milliseconds: 100, adc: 1000, protonDensity: 1 };
    const refused = (changes: Partial<PhantomTissue>) =>
      expect(renderPhantom(scene([{ ...tissue, ...changes }]))).rejects.toMatchObject({ code: "BAD_INPUT" });
    await refused({ t2Milliseconds: 0 });
    await refused({ radii: [1, 0, 1] });
    await refused({ centre: [0, Number.NaN, 0] });
    await refused({ texture: 1 });
  });
});

describe("PI-RADS of a phantom", () => {
  const lesion = (conspicuity: number, diameter: number) => ({ conspicuity, diameter }) as PhantomLesion;

  it("follows from the size and the conspicuity of its lesions", () => {
    expect(piradsOf([], false)).toBe(1);
    expect(piradsOf([], true)).toBe(2);
    expect(piradsOf([lesion(0.3, 20)], false)).toBe(3);
    expect(piradsOf([lesion(0.8, 14.9)], false)).toBe(4);
    expect(piradsOf([lesion(0.8, 15)], false)).toBe(5);
    expect(piradsOf([lesion(0.3, 20), lesion(0.5, 10)], false)).toBe(4);
  });

  it("takes every value over a cohort, with lesions in about five patients of seven", () => {
    const patients = Array.from({ length: 70 }, (_, index) => drawAnatomy(11, index));
    expect(new Set(patients.map(({ pirads }) => pirads))).toEqual(new Set([1, 2, 3, 4, 5]));
    const withLesion = patients.filter(({ lesions }) => lesions.length > 0).length;
    expect(Math.abs(withLesion - 50)).toBeLessThanOrEqual(2);
  });
});

describe("a phantom cohort on disk", () => {
  let folder: string;
  const options = { cases: 8, seed: 5, voxels: [32, 32, 12] as const };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "phantom-"));
    await writePhantomCohort(join(folder, "a"), options);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));
  const manifestOf = (name: string) => readManifest(join(folder, name, "manifest.csv"));

  it("has a manifest with every column, whose files are all there, and leaves no tensor behind", async () => {
    const { cases } = await manifestOf("a");
    expect(cases).toHaveLength(8);
    for (const { volumes, labels } of cases) {
      expect(Object.keys(volumes)).toEqual(volumeRolesOf(prostateColumns));
      expect(labels.pirads).toBeGreaterThanOrEqual(1);
      for (const path of Object.values(volumes)) await readImage(path);
    }
    expect(Tensor.live).toBe(0);
  });

  it("has a lesion where PI-RADS is 3 or more, and nowhere else; each lies in the gland", async () => {
    const { cases } = await manifestOf("a");
    expect(new Set(cases.map(({ labels }) => (labels.pirads as number) >= 3)).size).toBe(2);
    for (const { volumes, labels } of cases) {
      const read = async (role: "gland" | "zones" | "lesion" | "rectum") =>
        (await readImage(volumes[role] as string)).data;
      const [gland, zones, lesion, rectum] = [
        await read("gland"),
        await read("zones"),
        await read("lesion"),
        await read("rectum"),
      ];
      expect(lesion.some((value) => value > 0)).toBe((labels.pirads as number) >= 3);
      for (let voxel = 0; voxel < gland.length; voxel++) {
        expect(gland[voxel]).toBe(zones[voxel] > 0 ? 1 : 0);
        if (lesion[voxel] > 0) expect(gland[voxel]).toBe(1);
        if (rectum[voxel] > 0) expect(gland[voxel]).toBe(0);
      }
      expect(new Set(zones)).toEqual(new Set([0, 1, 2]));
      expect(rectum.some((value) => value > 0)).toBe(true);
    }
  });

  it("has grids of T2W and diffusion that are oblique to each other", async () => {
    const { cases } = await manifestOf("a");
    const [t2w, adc] = await Promise.all(
      (["t2w", "adc"] as const).map((role) => readImage(cases[0].volumes[role] as string)),
    );
    const head = (image: typeof t2w) => [0, 4, 8].map((entry) => image.voxelToPatient[entry]);
    const [a, b] = [head(t2w), head(adc)];
    const cosine =
      a.reduce((sum, value, axis) => sum + value * b[axis], 0) / (Math.hypot(...a) * Math.hypot(...b));
    expect((Math.acos(cosine) * 180) / Math.PI).toBeGreaterThan(1);
    expect(adc.shape).not.toEqual(t2w.shape);
  });

  it("has the same voxels for the same seed, however many patients there are", async () => {
    await writePhantomCohort(join(folder, "b"), { ...options, cases: 2 });
    await writePhantomCohort(join(folder, "c"), { ...options, cases: 1, seed: 6 });
    const [a, b, c] = [await manifestOf("a"), await manifestOf("b"), await manifestOf("c")];
    for (const role of volumeRolesOf(prostateColumns)) {
      for (const index of [0, 1]) {
        const bytes = (manifest: typeof a) => readFile(manifest.cases[index].volumes[role] as string);
        expect((await bytes(a)).equals(await bytes(b))).toBe(true);
      }
    }
    const t2w = (manifest: typeof a) => readFile(manifest.cases[0].volumes.t2w as string);
    expect((await t2w(a)).equals(await t2w(c))).toBe(false);
  });

  it("stops when it is told to, without a manifest", async () => {
    const stop = new AbortController();
    const onCase = () => stop.abort();
    const place = join(folder, "d");
    await expect(
      writePhantomCohort(place, { ...options, signal: stop.signal, onCase }),
    ).rejects.toMatchObject({ code: "ABORTED" });
    await expect(readFile(join(place, "manifest.csv"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("refuses names that would lead out of its folder", async () => {
    await expect(writePhantomCohort(folder, { ...options, prefix: "../x" })).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
  });
});
