import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { embedImages, writePhantomCohort } from "../dist/index.js";
import { cli } from "./cli-fixture.js";
import { rowsBy, rowsOf } from "./embed-fixture.js";

let folder: string;
const numbers = [1, 2, 3];
const place = (...path: string[]) => join(folder, ...path);
const encoder = { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] } as const;
const columns = {
  images: { t1: {}, flair: { normalise: { kind: "range", low: 0, high: 500 } } },
  masks: { organ: {} },
} as const;
const options = {
  encoder: structuredClone(encoder) as never,
  seed: 5,
  voxels: [32, 32, 16] as [number, number, number],
};
const file = (number: number, name: string) => place("cohort", `phantom-00${number}`, `${name}.nii.gz`);

/** The images of a phantom under the names of another organ's. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-embed-columns-"));
  await writePhantomCohort(place("cohort"), { cases: 3, seed: 3, voxels: [32, 32, 16] });
  const line = (number: number) =>
    `p${number},p${number},${file(number, "t2w")},${file(number, "hbv")},${file(number, "gland")}`;
  await writeFile(place("brain.csv"), `case,patient,t1,flair,organ\n${numbers.map(line).join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const rows = async (...given: Parameters<typeof embedImages>) => {
  using made = await embedImages(...given);
  return Object.values(await rowsBy(made.ids, made.embeddings));
};
const names = () =>
  numbers.map((number) => ({
    id: `p${number}`,
    t2w: file(number, "t2w"),
    hbv: file(number, "hbv"),
    gland: file(number, "gland"),
  }));

describe("Images of a study's own columns", () => {
  it("are embedded as the same files under a prostate's names, each with its column's normalisation", async () => {
    const crop = { around: "gland" };
    const normalise = { hbv: { kind: "range" as const, low: 0, high: 500 } };
    const wanted = await rows(names(), { ...options, crop, normalise, channels: ["t2w", "hbv"] });
    const own = { ...options, columns: structuredClone(columns) as never, crop: { around: "organ" } };
    const channels = ["t1", "flair"];
    expect(await rows(place("brain.csv"), { ...own, channels })).toEqual(wanted);
    const listed = numbers.map((number) => ({
      id: `p${number}`,
      ...{ t1: file(number, "t2w"), flair: file(number, "hbv"), organ: file(number, "gland") },
    }));
    expect(await rows(listed, { ...own, channels })).toEqual(wanted);
    expect(await rows(place("brain.csv"), { ...own, channels, cache: place("cache") })).toEqual(wanted);
  });

  it("are by default the reference, in the middle of the image", async () => {
    const wanted = await rows(
      names().map(({ t2w }) => ({ t2w })),
      { ...options, crop: { around: "centre" } },
    );
    expect(
      await rows(place("brain.csv"), { ...options, columns: structuredClone(columns) as never }),
    ).toEqual(wanted);
    expect(await rows([file(1, "t2w")], { ...options, columns: structuredClone(columns) as never })).toEqual([
      wanted[0],
    ]);
  });

  it("are refused by names that are not among them", async () => {
    const own = { ...options, columns: structuredClone(columns) as never };
    await expect(embedImages(place("brain.csv"), { ...own, channels: ["t2w"] })).rejects.toThrow(
      /one of t1, flair for channels\[0\] but received "t2w"/,
    );
    await expect(embedImages(place("brain.csv"), { ...own, crop: { around: "gland" } })).rejects.toThrow(
      /crop\.around: expected one of .*"organ".* but received "gland"/,
    );
    await expect(embedImages([{ t2w: file(1, "t2w") }], own)).rejects.toThrow(/t2w/);
    await expect(embedImages(place("brain.csv"), { ...own, voxel: 3 } as never)).rejects.toThrow(
      /options\.voxel/,
    );
  });

  it("are prepared by `embed --study` as the study says", async () => {
    const study = place("study.yaml");
    await writeFile(
      study,
      `name: brain
cohort:
  manifest: brain.csv
  voxels: [32, 32, 16]
  columns:
    images: { t1: {}, flair: { normalise: { kind: range, low: 0, high: 500 } } }
    masks: { organ: {} }
  crop: { around: organ }
split: { train: 1, validation: 1, test: 1 }
models: [{ name: a, encoder: profound-demo, pretrain: {} }]
tasks: [{ kind: segmentation, mask: organ }]
`,
    );
    const out = place("out.safetensors");
    const embed = (...images: string[]) =>
      cli(
        ...["embed", place("brain.csv"), "--encoder", "profound-demo", "--seed", "5", "--study", study],
        ...["--images", ...images, "--out", out],
      );
    const done = await embed("t1", "flair");
    expect(done.status, done.stderr).toBe(0);
    const own = { columns: structuredClone(columns) as never, crop: { around: "organ" } };
    const made = await embedImages(place("brain.csv"), {
      ...{ ...options, encoder: "profound-demo", ...own, channels: ["t1", "flair"] },
    });
    expect(await rowsOf(out)).toEqual(await rowsBy(made.ids, made.embeddings));
    made.embeddings.dispose();
    const wrong = await embed("t2w");
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toContain('Expected one of t1, flair for --images but received "t2w"');
  });
});
