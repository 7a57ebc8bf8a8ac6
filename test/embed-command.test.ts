import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { embedImages, Network, writePhantomCohort } from "../dist/index.js";
import { cli } from "./cli-fixture.js";
import { rowsBy, rowsOf } from "./embed-fixture.js";

let folder: string;
let weights: string;
const place = (...path: string[]) => join(folder, ...path);
const encoder = { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] } as const;
const voxels = ["--voxels", "32x32x16"];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-embed-"));
  await writePhantomCohort(place("cohort"), { cases: 3, seed: 3, voxels: [32, 32, 16] });
  await mkdir(place("scans"));
  for (const number of [1, 2])
    await cp(place("cohort", `phantom-00${number}`, "t2w.nii.gz"), place("scans", `scan-${number}.nii.gz`));
  // As a cell's best.safetensors: a network with a head, which says in its metadata what it is.
  weights = place("best.safetensors");
  using network = await Network.create({
    encoder: structuredClone(encoder) as never,
    head: { kind: "upernet", outputs: 1, hidden: 4, auxiliary: 4 },
    seed: 7,
  });
  await network.save(weights);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("embed", () => {
  it("takes an image, a folder or a manifest with a cell's own weights, and names no encoder", async () => {
    using wanted = await embedImages(place("scans"), { weights, voxels: [32, 32, 16] });
    const rows = await rowsBy(wanted.ids, wanted.embeddings);
    const out = place("out", "scans.safetensors");
    const ofFolder = await cli(
      "embed",
      place("scans"),
      "--weights",
      weights,
      ...voxels,
      "--out",
      out,
      "--json",
    );
    expect(ofFolder.status, ofFolder.stderr).toBe(0);
    expect(JSON.parse(ofFolder.stdout)).toEqual({
      output: out,
      cases: ["scan-1", "scan-2"],
      features: 16,
      encoder: JSON.stringify(encoder),
      weights,
      excluded: [],
    });
    expect(await rowsOf(out)).toEqual(rows);

    const one = place("one.safetensors");
    const image = place("scans", "scan-2.nii.gz");
    const ofImage = await cli("embed", image, "--weights", weights, ...voxels, "--out", one);
    expect(ofImage.status, ofImage.stderr).toBe(0);
    expect(ofImage.stdout).toMatch(
      /^1 case, 16 features each, by .*best\.safetensors: .*one\.safetensors\n$/,
    );
    expect(await rowsOf(one)).toEqual({ "scan-2": rows["scan-2"] });

    const images = [1, 3].map((number) => place("cohort", `phantom-00${number}`, "t2w.nii.gz"));
    const several = place("several.safetensors");
    const ofSeveral = await cli("embed", ...images, "--weights", weights, ...voxels, "--out", several);
    expect(ofSeveral.status, ofSeveral.stderr).toBe(0);
    const found = await rowsOf(several);
    expect(Object.keys(found)).toEqual(["phantom-001/t2w", "phantom-003/t2w"]);
    expect(found["phantom-001/t2w"]).toEqual(rows["scan-1"]);
  });

  it("prepares images as a study file says", async () => {
    const study = place("study.yaml");
    await writeFile(
      study,
      `name: other
cohort:
  manifest: cohort/manifest.csv
  voxels: [16, 24, 16]
  crop: { fieldOfView: [60, 70, 40] }
  normalise: { t2w: { kind: percentiles, low: 5, high: 90 } }
split: { train: 1, validation: 1, test: 1 }
models: [{ name: one, encoder: profound-demo }]
comparators: [from-scratch]
tasks: [super-resolution]
`,
    );
    const out = place("as-study.safetensors");
    const image = place("scans", "scan-1.nii.gz");
    const { status, stderr } = await cli(
      "embed",
      image,
      "--weights",
      weights,
      "--study",
      study,
      "--out",
      out,
    );
    expect(status, stderr).toBe(0);
    using wanted = await embedImages(image, {
      weights,
      voxels: [16, 24, 16],
      crop: { fieldOfView: [60, 70, 40] },
      normalise: { t2w: { kind: "percentiles", low: 5, high: 90 } },
    });
    expect(await rowsOf(out)).toEqual(await rowsBy(wanted.ids, wanted.embeddings));
    const both = await cli("embed", image, "--study", study, ...voxels, "--out", out);
    expect(both.status).toBe(2);
    expect(both.stderr).toMatch(/--study <file>.*cannot be used with.*--voxels/);
  });

  it("reads an image whose voxels lie elsewhere, where a folder is named that holds both", async () => {
    await mkdir(place("data", "headers"), { recursive: true });
    const voxels = Buffer.from(Int16Array.from({ length: 4096 }, (_, voxel) => voxel % 97).buffer);
    await writeFile(place("data", "ramp.raw"), voxels);
    const header = ["NDims = 3", "DimSize = 16 16 16", "ElementSpacing = 2 2 2", "ElementType = MET_SHORT"];
    const path = place("data", "headers", "ramp.mhd");
    await writeFile(path, `${[...header, "ElementDataFile = ../ramp.raw"].join("\n")}\n`);
    const args = [
      "embed",
      path,
      "--weights",
      weights,
      "--voxels",
      "16x32x32",
      "--out",
      place("ramp.safetensors"),
    ];
    const refused = await cli(...args);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/ramp\.mhd.*lies outside.*--root of inspect and embed/);
    const { status, stderr } = await cli(...args, "--root", place("data"));
    expect(status, stderr).toBe(0);
  });

  it("goes on past what cannot be read, names it with its reason, and ends with exit status 1", async () => {
    const mixed = place("mixed");
    await cp(place("scans"), mixed, { recursive: true });
    await writeFile(join(mixed, "broken.nii"), "no image");
    execFileSync("mkfifo", [join(mixed, "pipe.nii")]);
    const out = place("mixed.safetensors");
    const args = ["embed", mixed, "--weights", weights, ...voxels, "--out", out];
    const { status, stdout } = await cli(...args);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^2 cases, 16 features each/);
    expect(stdout).toMatch(/ {2}broken is left out: .*broken\.nii: it is not an image of a known format/);
    expect(stdout).toMatch(/ {2}pipe is left out: .*pipe\.nii: it is not a regular file/);
    expect(Object.keys(await rowsOf(out))).toEqual(["scan-1", "scan-2"]);
    const answered = await cli(...args, "--json");
    expect(answered.status).toBe(1);
    expect(JSON.parse(answered.stdout).excluded).toMatchObject([
      { case: "broken", file: join(mixed, "broken.nii") },
      { case: "pipe", file: join(mixed, "pipe.nii") },
    ]);
  });

  it("leaves out a manifest's case that lacks an image, which is no failure", async () => {
    const lines = ["case,t2w,adc"];
    for (const number of [1, 2]) {
      const of = (role: string) => `phantom-00${number}/${role}.nii.gz`;
      lines.push(`p${number},${of("t2w")},${number === 1 ? of("adc") : ""}`);
    }
    await writeFile(place("cohort", "some.csv"), `${lines.join("\n")}\n`);
    const args = [
      "--weights",
      weights,
      ...voxels,
      "--images",
      "t2w",
      "adc",
      "--out",
      place("some.safetensors"),
    ];
    const { status, stdout, stderr } = await cli("embed", place("cohort", "some.csv"), ...args, "--json");
    expect(status, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      cases: ["p1"],
      excluded: [{ case: "p2", file: null, reason: "it has no adc" }],
    });
  });

  it("refuses what is no weights, has no encoder or is a folder without images, and writes nothing", async () => {
    const image = place("scans", "scan-1.nii.gz");
    using unet = await Network.build({
      model: { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 3 },
    });
    await unet.save(place("unet.safetensors"));
    await writeFile(place("notes.pth"), "<html>");
    await mkdir(place("nothing"));
    const out = place("refused.safetensors");
    for (const [args, words] of [
      [
        [image, "--weights", place("unet.safetensors")],
        /BAD_CHECKPOINT.*a specialised model \(unet-3d\), which has no encoder/,
      ],
      [[image, "--weights", place("notes.pth")], /BAD_CHECKPOINT.*notes\.pth.*a web page/],
      [
        [image, "--weights", weights, "--encoder", "profound-demo"],
        /Expected weights of the encoder profound-demo but/,
      ],
      [[place("nothing")], /BAD_INPUT.*a folder with images/],
      [[image, image], /BAD_INPUT.*each image once/],
    ] as const) {
      const { status, stderr, stdout } = await cli("embed", ...args, ...voxels, "--out", out);
      expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
      expect(stderr).toMatch(words);
    }
    await expect(rowsOf(out)).rejects.toThrow(/no such file/);
  });
});
