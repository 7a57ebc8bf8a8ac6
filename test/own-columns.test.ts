import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { readManifest } from "../dist/cohort/manifest.js";
import { columnsOf } from "../dist/cohort/own-columns.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { makeSplits } from "../dist/cohort/splits.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { preprocessOptions } from "../dist/study/plan/prepare.js";
import { nrrdOf } from "./nrrd-fixture.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-own-columns-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A knee: two images, a mask of two labels within a mask of one, a number, a grade and a size that follows from a mask. */
const knee = {
  images: { pd: { normalise: { kind: "range", low: 0, high: 10 } }, t1: {} },
  masks: { cartilage: { labels: { 1: "femoral", 2: "tibial" } }, lesion: { partOf: "cartilage" } },
  labels: {
    pain: { kind: "number" },
    grade: { kind: "class", classes: ["none", "mild", "severe"], ordered: true },
    thickness: { kind: "number", volumeOf: { mask: "cartilage", labels: [2] } },
    size: {
      kind: "class",
      classes: ["small", "large"],
      ordered: true,
      volumeOf: "cartilage",
      thresholds: [100],
    },
  },
} satisfies NonNullable<StudyInput["cohort"]["columns"]>;

const study = (cohort: object = {}): unknown => ({
  name: "knees",
  cohort: { manifest: "knees.csv", voxels: [16, 16, 8], columns: knee, ...cohort },
  models: [{ name: "one", encoder: "profound-demo", pretrain: {} }],
  tasks: [],
});
const resolved = (cohort: object = {}) => {
  const made = resolveStudy(study(cohort), folder);
  if ("faults" in made) throw new Error(JSON.stringify(made.faults));
  return made.study;
};
const faults = (cohort: object): string[] => {
  const made = resolveStudy(study(cohort), folder);
  return "faults" in made ? made.faults.map(({ path, message }) => `${path.join(".")}: ${message}`) : [];
};
const manifest = async (text: string) => {
  const path = join(folder, "knees.csv");
  await writeFile(path, text);
  return readManifest(path, undefined, columnsOf(resolved().cohort));
};
const refusal = (text: string) => manifest(text).then(String, (error: Error) => error.message);

describe("A study that names the columns of its cohort", () => {
  it("resolves to itself: the first image is the reference, the first label of classes divides the patients", () => {
    const one = resolved();
    expect(one.cohort.columns).toMatchObject({ reference: "pd", stratify: "grade" });
    expect(one.cohort.crop.around).toBe("centre");
    expect(one.cohort).not.toHaveProperty("normalise");
    expect(resolveStudy(JSON.parse(JSON.stringify(one)), "/elsewhere")).toEqual({ study: one });
  });

  it("leaves a study without such names as it was", () => {
    const one = resolved({ columns: undefined });
    expect(one.cohort.columns).toBe("prostate");
    expect(one.cohort.crop).toEqual({ around: "gland", fieldOfView: "whole" });
    const percentiles = { kind: "percentiles", low: 0.5, high: 99.5 };
    expect(one.cohort.normalise).toEqual({ t2w: percentiles, adc: percentiles, hbv: percentiles });
  });

  it("is told what contradicts what, each with its field", () => {
    const change = (columns: object) => faults({ columns: { ...knee, ...columns } });
    expect(change({ reference: "t2" })).toEqual([
      'cohort.columns.reference: expected one of the images ("pd", "t1") but received "t2"',
    ]);
    expect(change({ masks: { pd: {} }, labels: {} })[0]).toMatch(
      /^cohort\.columns\.masks\.pd: .*another column/,
    );
    expect(change({ masks: { lesion: { partOf: "bone" } }, labels: {} })[0]).toMatch(
      /masks\.lesion\.partOf.*"bone"/,
    );
    expect(change({ labels: { size: { ...knee.labels.size, thresholds: [1, 2] } } })[0]).toMatch(
      /labels\.size\.thresholds: expected 1 volumes .* received 2/,
    );
    expect(change({ labels: { size: { ...knee.labels.size, volumeOf: "bone" } } })[0]).toMatch(
      /volumeOf.*"bone"/,
    );
    expect(change({ stratify: "pain" })[0]).toMatch(/stratify: .*"grade".* received "pain"/);
    expect(change({ images: { patient: {} } })[0]).toMatch(/patient/);
    expect(faults({ normalise: { t2w: { kind: "z-score" } } })[0]).toMatch(
      /columns\.images\.<name>\.normalise/,
    );
  });

  it("crops around its own masks, and speaks of prostates only where a prostate's columns stand", () => {
    expect(resolved({ crop: { around: "cartilage" } }).cohort.crop.around).toBe("cartilage");
    expect(faults({ crop: { around: "gland" } })[0]).toMatch(
      /cohort\.crop\.around: expected one of "cartilage", "lesion", "centre" but received "gland"/,
    );
    expect(faults({ crop: { fieldOfView: [10, 10, 5] } })).toEqual([]);
    const wrong = faults({ crop: { fieldOfView: [0.5, 10, 5] } })[0];
    expect(wrong).toBe("cohort.crop.fieldOfView.0: expected 1 to 2000 mm but received 0.5; 0.5 cm are 5 mm");
    expect(faults({ columns: "prostate", crop: { fieldOfView: [8, 80, 80] } })[0]).toMatch(
      /prostate.*8 cm are 80 mm/,
    );
  });
});

describe("The documentation's example of a study's own columns", () => {
  it("is a sound one", async () => {
    const page = await readFile(new URL("../docs/configuration.md", import.meta.url), "utf8");
    const section = page.slice(page.indexOf("### Columns of your own"));
    const { cohort } = parse(/```yaml\n([\s\S]*?)```/.exec(section)?.[1] ?? "") as { cohort: object };
    expect(resolved(cohort).cohort.columns).toMatchObject({ reference: "t1", stratify: "grade" });
  });
});

describe("A manifest with a study's own columns", () => {
  it("gives numbers and classes as they are, and marks what follows from a mask", async () => {
    const { cases } = await manifest(
      "case,patient,pd,t1,cartilage,pain,grade,age\na,p,a.nii,,m.nii,-1.5e1,mild,50\nb,q,b.nii,c.nii,,,,\n",
    );
    expect(cases.map(({ labels, volumes }) => [labels, Object.keys(volumes)])).toEqual([
      [{ pain: -15, grade: "mild", thickness: null, size: null }, ["pd", "cartilage"]],
      [{}, ["pd", "t1"]],
    ]);
    expect(cases[0]?.extra).toEqual({ age: "50" });
  });

  it("asks for the reference, and for values that are what the label's are", async () => {
    expect(await refusal("case,t1\na,a.nii\n")).toMatch(/column "pd" is missing/);
    expect(await refusal("case,pd\na,\n")).toMatch(/column "pd": expected the path of a pd image/);
    expect(await refusal("case,pd,pain\na,a.nii,high\n")).toMatch(
      /"pain": expected a number, or nothing but received "high"/,
    );
    expect(await refusal("case,pd,grade\na,a.nii,Mild\n")).toMatch(
      /expected one of none, mild, severe, or nothing/,
    );
  });

  it("takes no misspelt name of the study's own, nor of the patient, for a column of nobody", async () => {
    const names = {
      cartilage: ["Cartilage", "cartilage_mask", "cartilege", "seg_cartilage"],
      pd: ["PD", "pd_image"],
    };
    for (const [column, written] of Object.entries({
      ...names,
      patient: ["Patient", "patient_id", "PatientID"],
    }))
      for (const name of written)
        expect(
          await refusal(
            `case,${column === "pd" ? "" : "pd,"}${name}\na,${column === "pd" ? "" : "x.nii,"}a.nii\n`,
          ),
        ).toContain(`"${name}"`);
    // A prostate's names mean nothing here.
    const { columns } = await manifest("case,pd,lesions_seen,dwi\na,a.nii,2,x\n");
    expect(columns).toContain("dwi");
  });

  it("is divided by the study's label", () => {
    const columns = columnsOf(resolved().cohort);
    const cases = Array.from({ length: 40 }, (_, index) => ({
      id: `c${index}`,
      patient: `p${index}`,
      labels: index % 4 === 0 ? { grade: "severe" } : { grade: "none" },
    }));
    for (const seed of [1, 2, 3]) {
      const { train, test } = makeSplits(cases, { train: 20, validation: 0, test: 20 }, seed, columns);
      const severe = (ids: string[]) => ids.filter((id) => Number(id.slice(1)) % 4 === 0).length;
      expect([severe(train), severe(test)]).toEqual([5, 5]);
    }
  });
});

describe("Cases with a study's own columns", () => {
  it("are brought onto the reference's grid, with labels kept, volumes measured and unnamed labels refused", async () => {
    const place = join(folder, "images");
    await mkdir(place, { recursive: true });
    const spacing = [1, 1, 2] as const; // along i, j, k: a voxel of 2 mm³
    const size = [16, 16, 8] as const;
    const filled = (label: (i: number, j: number, k: number) => number) => {
      const data = new Int16Array(16 * 16 * 8);
      for (let k = 0; k < 8; k++)
        for (let j = 0; j < 16; j++)
          for (let i = 0; i < 16; i++) data[(k * 16 + j) * 16 + i] = label(i, j, k);
      return data;
    };
    const write = (name: string, data: Int16Array) =>
      writeFile(join(place, name), nrrdOf(size, spacing, data));
    await write(
      "pd.nrrd",
      filled((i) => i % 8),
    );
    // 4 x 4 x 4 voxels femoral, 2 x 4 x 4 tibial: 128 and 64 mm³.
    const two = (i: number, j: number, k: number) =>
      j >= 4 && j < 8 && k >= 2 && k < 6 ? (i >= 4 && i < 8 ? 1 : i >= 8 && i < 10 ? 2 : 0) : 0;
    await write("two.nrrd", filled(two));
    await write(
      "three.nrrd",
      filled((i, j, k) => (i === 12 ? 3 : two(i, j, k))),
    );
    const path = join(place, "knees.csv");
    await writeFile(path, "case,pd,cartilage\na,pd.nrrd,two.nrrd\nb,pd.nrrd,three.nrrd\nc,pd.nrrd,\n");
    const { cohort } = resolved();
    const read = await readManifest(path, undefined, columnsOf(cohort));
    const { cases, excluded } = await prepareCohort(read, preprocessOptions(cohort), {
      cache: join(place, "cache"),
    });
    expect(cases.map(({ id, labels }) => [id, labels])).toEqual([
      ["a", { thickness: 64, size: "large" }],
      ["c", {}],
    ]);
    expect(excluded.map(({ case: id, reason }) => [id, reason])).toEqual([
      ["b", expect.stringMatching(/labels 3, which the study does not name: expected 0 and 1 and 2/)],
    ]);
    const file = await readSafetensors(cases[0]?.file as string);
    using mask = await file.tensor("cartilage");
    using image = await file.tensor("pd");
    expect([...new Set((await mask.toArray()) as Float32Array)].sort()).toEqual([0, 1, 2]);
    // 0 to 7, in a range of 0 to 10.
    expect(Math.max(...((await image.toArray()) as Float32Array))).toBeCloseTo(0.7, 6);
  });
});
