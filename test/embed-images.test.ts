import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  embedImages,
  mmd2,
  Network,
  prepareVolume,
  runStudy,
  type StudyInput,
  Tensor,
  writePhantomCohort,
} from "../dist/index.js";
import { setThreads } from "../dist/native/runtime.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { floatsOf, rowsBy, rowsOf, writeRamp } from "./embed-fixture.js";
import { tinyStudy } from "./study-fixture.js";

const voxels: [number, number, number] = [32, 32, 16];
const encoder = { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] } as const;

let folder: string;
let study: StudyInput;
const place = (...path: string[]) => join(folder, ...path);
const cell = (id: string, file: string) => place("results", "cells", id, file);
const fineTuned = "profound--pirads-classification--fine-tuned--seed1";
const t2wOf = (id: string) => place("cohort", id, "t2w.nii.gz");
const network = (seed = 0) => Network.create({ encoder: structuredClone(encoder) as never, seed });

beforeAll(async () => {
  setThreads(1);
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-embed-"));
  await writePhantomCohort(place("cohort"), { cases: 6, seed: 3, voxels });
  study = tinyStudy(folder, "results", {
    tasks: ["pirads-classification"],
    comparators: ["fine-tuned", "pretrained"],
    training: { epochs: 2, batchSize: 2, learningRate: 1e-3 },
  });
  await runStudy(study);
}, 300_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("embedImages", () => {
  it("answers with what a network makes of each prepared image, its channels filled with it", async () => {
    using own = await network(5);
    const before = Tensor.live;
    {
      using found = await embedImages([t2wOf("phantom-001"), t2wOf("phantom-002")], { encoder: own, voxels });
      expect(found.ids).toEqual(["phantom-001/t2w", "phantom-002/t2w"]);
      expect(found.embeddings.shape).toEqual([2, 16]);
      expect(found).toMatchObject({ excluded: [], random: false, warnings: [] });
      const rows = await rowsBy(found.ids, found.embeddings);
      for (const id of ["phantom-001", "phantom-002"]) {
        using prepared = await prepareVolume(t2wOf(id), { voxels });
        const volume = await floatsOf(prepared.t2w);
        using input = Tensor.from(Float32Array.from([...volume, ...volume, ...volume]), [1, 3, 16, 32, 32]);
        using features = await own.embed(input);
        expect(rows[`${id}/t2w`]).toEqual(await floatsOf(features.pooled));
      }
      expect(rows["phantom-001/t2w"]).not.toEqual(rows["phantom-002/t2w"]);
    }
    expect(Tensor.live).toBe(before);
  });

  it("gives a manifest's case what its image gives, with a cache and without", async () => {
    const options = { encoder: "profound-demo", voxels, crop: { around: "centre" } } as const;
    using alone = await embedImages(t2wOf("phantom-003"), options);
    using ofCohort = await embedImages(place("cohort", "manifest.csv"), options);
    const cache = place("kept");
    using first = await embedImages(place("cohort", "manifest.csv"), { ...options, cache });
    using again = await embedImages(place("cohort", "manifest.csv"), { ...options, cache });
    expect(alone.ids).toEqual(["t2w"]);
    const row = (await rowsBy(alone.ids, alone.embeddings)).t2w;
    for (const { ids, embeddings, encoder: name, random } of [ofCohort, first, again]) {
      expect({ name, random }).toEqual({ name: "profound-demo", random: true });
      expect(ids).toEqual([1, 2, 3, 4, 5, 6].map((number) => `phantom-00${number}`));
      expect((await rowsBy(ids, embeddings))["phantom-003"]).toEqual(row);
    }
  });

  it("fills the channels with the images that are named, in turn, or with zeros", async () => {
    using own = await network();
    const files = Object.fromEntries(
      ["t2w", "adc", "gland"].map((role) => [role, place("cohort", "phantom-001", `${role}.nii.gz`)]),
    ) as { t2w: string; adc: string; gland: string };
    using prepared = await prepareVolume(files, { voxels });
    const [t2w, adc] = [await floatsOf(prepared.t2w), await floatsOf(prepared.adc as Tensor)];
    const third = { repeat: t2w, zeros: t2w.map(() => 0) };
    for (const channelFill of ["repeat", "zeros"] as const) {
      const options = { encoder: own, voxels, channelFill, channels: ["t2w", "adc"] } as const;
      using found = await embedImages([{ id: "one", ...files }], options);
      expect(found.ids).toEqual(["one"]);
      using input = Tensor.from(
        Float32Array.from([...t2w, ...adc, ...third[channelFill]]),
        [1, 3, 16, 32, 32],
      );
      using features = await own.embed(input);
      expect(await floatsOf(found.embeddings)).toEqual(await floatsOf(features.pooled));
    }
  });

  it("shows an encoder of slices one image, as a study does, or as many as it has channels", async () => {
    const sizes = {
      channels: 3,
      patch: 8,
      embedDim: 24,
      depth: 1,
      heads: 2,
      registers: 0,
      axisTokens: 2,
    } as const;
    using vit = await Network.create({ encoder: { family: "dino-vit", ...sizes } });
    using prepared = await prepareVolume(t2wOf("phantom-001"), { voxels });
    const volume = await floatsOf(prepared.t2w);
    using input = Tensor.from(Float32Array.from(volume), [1, 1, 16, 32, 32]);
    using features = await vit.embed(input);
    using found = await embedImages(t2wOf("phantom-001"), { encoder: vit, voxels });
    expect(await floatsOf(found.embeddings)).toEqual(await floatsOf(features.pooled));
  });
});

describe("Weights of this package's own", () => {
  it("of a finished cell give the embeddings that the cell has of its test cases, without an encoder being named", async () => {
    const wanted = await rowsOf(cell(fineTuned, "embeddings.safetensors"));
    const ids = Object.keys(wanted);
    expect(ids).toHaveLength(2);
    const weights = cell(fineTuned, "best.safetensors");
    // A study crops around the gland, which a case of files has too.
    const cases = ids.map((id) => ({ id, t2w: t2wOf(id), gland: place("cohort", id, "gland.nii.gz") }));
    using found = await embedImages(cases, { weights, voxels });
    expect(found).toMatchObject({ encoder: JSON.stringify(encoder), random: false });
    expect(await rowsBy(found.ids, found.embeddings)).toEqual(wanted);
    using others = await embedImages(cases, { weights: cell(fineTuned, "last.safetensors"), voxels });
    using random = await embedImages(cases, { encoder: structuredClone(encoder) as never, voxels });
    expect(await floatsOf(random.embeddings)).not.toEqual(await floatsOf(found.embeddings));
    expect(others.embeddings.shape).toEqual(found.embeddings.shape);
  });

  it("of a pretraining give what a network gives that is built by hand and loads them", async () => {
    const weights = cell("profound--pretraining", "encoder.safetensors");
    using byHand = await network(9);
    await byHand.loadCheckpoint(weights);
    using wanted = await embedImages(t2wOf("phantom-001"), { encoder: byHand, voxels });
    using found = await embedImages(t2wOf("phantom-001"), { weights, voxels });
    expect(await floatsOf(found.embeddings)).toEqual(await floatsOf(wanted.embeddings));
  });

  it("are refused beside another encoder than they say, even where every tensor would fit", async () => {
    // Shapes do not tell how many heads a transformer has.
    const sizes = { channels: 1, patch: 8, embedDim: 24, depth: 1, registers: 0, axisTokens: 2 } as const;
    const weights = place("heads.safetensors");
    using two = await Network.create({ encoder: { family: "dino-vit", ...sizes, heads: 2 } });
    await two.save(weights);
    const three = { family: "dino-vit", ...sizes, heads: 3 } as const;
    await expect(
      embedImages(t2wOf("phantom-001"), { encoder: three, weights, voxels }),
    ).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(
        /"heads":3.*heads\.safetensors holds those of .*"heads":2.*Leave the encoder out/,
      ),
    });
  });

  it("are refused where they are damaged, of a network without an encoder, or no weights at all", async () => {
    const image = t2wOf("phantom-001");
    const write = async (name: string, network: unknown) => {
      const metadata = { writer: "transfer-limits/weights@1", network: network as string };
      await writeFloats(place(name), metadata);
      return place(name);
    };
    const large = {
      family: "convnext-v2-3d",
      channels: 3,
      depths: [9, 9, 9, 9],
      dims: [4096, 8192, 16384, 32768],
    };
    const model = { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 3 };
    await writeFile(place("notes.txt"), "these are no weights");
    execFileSync("mkfifo", [place("pipe.safetensors")]);
    for (const [weights, words] of [
      [
        await write("unet.safetensors", JSON.stringify({ model })),
        /holds a specialised model \(unet-3d\), which has no encoder/,
      ],
      [await write("cut.safetensors", '{"encoder":'), /the network in its metadata is not JSON/],
      [await write("null.safetensors", "null"), /has no encoder that is known/],
      [
        await write("other.safetensors", JSON.stringify({ encoder: { family: "gpt" } })),
        /no encoder that is known/,
      ],
      [
        await write("large.safetensors", JSON.stringify({ encoder: large })),
        /far larger than what the file holds/,
      ],
      [place("notes.txt"), /notes\.txt .*it is text and begins with "these are no weights"/],
      [place("pipe.safetensors"), /pipe\.safetensors .*is not a regular file but a pipe/],
      [place("absent.safetensors"), /absent\.safetensors/],
      [image, /t2w\.nii\.gz .*compressed with gzip/],
    ] as const) {
      await expect(embedImages(image, { weights, voxels }), weights).rejects.toMatchObject({
        code: "BAD_CHECKPOINT",
        message: expect.stringMatching(words),
      });
    }
  });

  it("of a specialised model in a network that is given are refused, and so is anything beside a network", async () => {
    const model = { family: "unet-3d", channels: 1, outputs: 1, features: 4, levels: 3 } as const;
    using unet = await Network.build({ model: structuredClone(model) });
    const image = t2wOf("phantom-001");
    await expect(embedImages(image, { encoder: unet as Network })).rejects.toThrow(
      /a network with an encoder .* received "a specialised model \(unet-3d\)"/,
    );
    using own = await network();
    await expect(embedImages(image, { encoder: own, weights: "w.safetensors" })).rejects.toThrow(
      /nothing beside a Network, which has its own weights/,
    );
  });
});

describe("What would make rows of nothing", () => {
  it("is an encoder that answers with NaN: no row is given, and the image is named", async () => {
    using broken = await network();
    const [name] = broken.parameters
      .map((parameter) => parameter.name)
      .filter((one) => one.endsWith("norm.weight"));
    const shape = broken.parameters.find((parameter) => parameter.name === name)?.shape as number[];
    using nothing = Tensor.from(new Float32Array(shape[0] as number).fill(Number.NaN), shape);
    await broken.assign({ [name as string]: nothing });
    await expect(embedImages(t2wOf("phantom-002"), { encoder: broken, voxels })).rejects.toMatchObject({
      code: "NOT_FINITE",
      message: expect.stringMatching(/embedding of t2w holds NaN or infinity/),
    });
  });

  it("is a volume in the cache that was damaged: it is made again, and that is told", async () => {
    const cache = place("damaged");
    const options = { encoder: "profound-demo", voxels, cache } as const;
    using before = await embedImages(t2wOf("phantom-001"), options);
    const [entry] = (await readdir(cache)).filter((name) => name.endsWith(".safetensors"));
    const path = join(cache, entry as string);
    const bytes = await readFile(path);
    bytes[bytes.length - 2] = (bytes.at(-2) as number) ^ 0x40; // of the last voxel
    await writeFile(path, bytes);
    using again = await embedImages(t2wOf("phantom-001"), options);
    expect(await floatsOf(again.embeddings)).toEqual(await floatsOf(before.embeddings));
    expect(before.warnings).toEqual([]);
    expect(again.warnings).toEqual([expect.stringMatching(/is damaged .*moved to .*computed again/)]);
  });
});

describe("A folder of images", () => {
  it("is embedded in the order of its names, and what cannot be used is left out with its reason", async () => {
    const scans = place("scans");
    await mkdir(join(scans, "more"), { recursive: true });
    for (const [name, id] of [
      ["b.nii.gz", "phantom-002"],
      ["a.nii.gz", "phantom-001"],
    ] as const)
      await cp(t2wOf(id), join(scans, name));
    await cp(t2wOf("phantom-003"), join(scans, "more", "c.nii.gz"));
    await symlink(t2wOf("phantom-004"), join(scans, "linked.nii.gz"));
    await symlink("nowhere.nii", join(scans, "lost.nii"));
    await mkdir(join(scans, "folder.nii"));
    execFileSync("mkfifo", [join(scans, "pipe.mha")]);
    await writeFile(join(scans, "cut.nrrd"), "NRRD0004\ntype: short\n");
    await writeFile(join(scans, "._a.nii.gz"), "what macOS leaves");
    await writeFile(join(scans, "notes.txt"), "no image");

    const events: unknown[] = [];
    const output = place("out", "scans.safetensors");
    using found = await embedImages(scans, {
      encoder: "profound-demo",
      voxels,
      output,
      onProgress: (event) => events.push(event),
    });
    expect(found.ids).toEqual(["a", "b", "linked"]);
    const reasons = Object.fromEntries(found.excluded.map(({ case: id, reason }) => [id, reason]));
    expect(Object.keys(reasons)).toEqual(["cut", "folder", "lost", "pipe"]);
    expect(reasons).toMatchObject({
      folder: expect.stringMatching(/folder\.nii: it is not a regular file/),
      lost: expect.stringMatching(/lost\.nii: it is a link to nowhere\.nii, which does not exist/),
      pipe: expect.stringMatching(/pipe\.mha: it is not a regular file/),
    });
    expect(found.excluded.map(({ file }) => file)).toContain(join(scans, "cut.nrrd"));
    expect(events).toHaveLength(7);
    expect(events[0]).toEqual({ done: 1, total: 7, case: "a", excluded: null });
    expect(events[6]).toMatchObject({ done: 7, total: 7, case: "pipe" });

    // The file holds the same rows, as `embed` writes and `align` reads them.
    expect(await rowsOf(output)).toEqual(await rowsBy(found.ids, found.embeddings));
    const { names, metadata } = await readSafetensors(output);
    expect(names).toEqual(["embeddings"]);
    expect(metadata).toMatchObject({ encoder: "profound-demo", cases: '["a","b","linked"]' });
    expect(JSON.parse(metadata.preparation as string)).toMatchObject({ voxels, crop: { around: "gland" } });
    expect((await mmd2(found.embeddings, found.embeddings)).biased).toBeLessThan(1e-12);
  });

  it("without an image is refused, saying what is in it", async () => {
    const empty = place("empty");
    await mkdir(join(empty), { recursive: true });
    const refused = (words: RegExp) =>
      expect(embedImages(empty, { encoder: "profound-demo" })).rejects.toMatchObject({
        code: "BAD_INPUT",
        message: expect.stringMatching(words),
      });
    await refused(/a folder with images .* received an empty one/);
    await writeFile(join(empty, "IM1.dcm"), "");
    await refused(/received 1 other entry, "IM1\.dcm".*dcm2niix/);
    await rm(join(empty, "IM1.dcm"));
    await mkdir(join(empty, "patient-1"));
    await refused(/"patient-1".*Folders in it are not looked into/);
  });

  it("whose images can none of them be used is an error with the reasons", async () => {
    const bad = place("bad");
    await mkdir(bad);
    for (const name of ["a.nii", "b.nii"]) await writeFile(join(bad, name), "no image");
    const output = place("bad.safetensors");
    await expect(embedImages(bad, { encoder: "profound-demo", output })).rejects.toMatchObject({
      code: "BAD_IMAGE",
      message: expect.stringMatching(
        /None of 2 images can be embedded:[\s\S]*a\.nii: it is not an image[\s\S]*b\.nii: it is not an image/,
      ),
    });
    await expect(readSafetensors(output)).rejects.toThrow(/no such file/);
  });
});

describe("Before any work embedImages refuses", () => {
  const options = { encoder: "profound-demo", voxels } as const;
  const refused = (images: Parameters<typeof embedImages>[0], more: object, code: string, words: RegExp) =>
    expect(embedImages(images, { ...options, ...more })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(words),
    });

  it("an image that would count twice, under one name or two, and two images of one name", async () => {
    const twice = place("twice");
    await mkdir(twice);
    await writeRamp(join(twice, "a.nrrd"));
    await refused(
      [join(twice, "a.nrrd"), twice],
      {},
      "BAD_INPUT",
      /each image once .*a\.nrrd.*which are one file/,
    );
    await symlink("a.nrrd", join(twice, "b.nrrd"));
    await refused(twice, {}, "BAD_INPUT", /a\.nrrd" and ".*b\.nrrd", which are one file/);
    await rm(join(twice, "b.nrrd"));
    await writeFile(join(twice, "a.mha"), "");
    await refused(twice, {}, "BAD_INPUT", /a name of its own .*a\.mha" and ".*a\.nrrd".*called "a"/);
  });

  it("a manifest among images, no images, and channels that the encoder does not have", async () => {
    const image = t2wOf("phantom-001");
    await refused([image, place("cohort", "manifest.csv")], {}, "BAD_INPUT", /a manifest stands by itself/);
    await refused([], {}, "BAD_INPUT", /at least one image/);
    await refused(image, { channels: ["t1"] }, "BAD_INPUT", /one of t2w, adc, hbv for channels\[0\] .*"t1"/);
    const single = { ...encoder, channels: 1, depths: [1, 1, 1, 1], dims: [4, 8, 8, 16] };
    await refused(image, { encoder: single, channels: ["t2w", "adc"] }, "BAD_INPUT", /at most 1, as many as/);
    await refused(image, { voxel: [8, 8, 8] }, "BAD_INPUT", /unknown key "voxel"\. Did you mean "voxels"/);
    await refused(place("absent.csv"), {}, "BAD_MANIFEST", /absent\.csv/);
    await refused(place("absent.nii"), {}, "BAD_IMAGE", /absent\.nii: there is no such file/);
  });

  it("an output that cannot be written, is no file, or is what the embeddings are made from", async () => {
    const image = t2wOf("phantom-001");
    await refused(image, { output: folder }, "BAD_FILE", /is a folder, a link or a device/);
    await refused(
      image,
      { output: join(image, "x.safetensors") },
      "BAD_FILE",
      /cannot be written: .*is no folder/,
    );
    await refused(
      image,
      { output: image },
      "BAD_INPUT",
      /a file of its own .*which the embeddings are made from/,
    );
    const weights = cell(fineTuned, "best.safetensors");
    await refused(image, { encoder: undefined, weights, output: weights }, "BAD_INPUT", /made from/);
  });
});

describe("embedImages, interrupted", () => {
  it("ends with ABORTED or with what its listener threw, writes nothing and leaves no tensor", async () => {
    const before = Tensor.live;
    const output = place("interrupted.safetensors");
    const controller = new AbortController();
    const stopped = embedImages(place("cohort", "manifest.csv"), {
      encoder: "profound-demo",
      voxels,
      output,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(stopped).rejects.toMatchObject({ code: "ABORTED" });
    const listening = embedImages(place("cohort", "manifest.csv"), {
      encoder: "profound-demo",
      voxels,
      output,
      onProgress: () => {
        throw new RangeError("the listener's own");
      },
    });
    await expect(listening).rejects.toThrow(new RangeError("the listener's own"));
    await expect(readSafetensors(output)).rejects.toThrow(/no such file/);
    expect(Tensor.live).toBe(before);
  });

  it("holds no more tensors after many images than after one", async () => {
    const live: number[] = [];
    using _found = await embedImages(place("cohort", "manifest.csv"), {
      encoder: "profound-demo",
      voxels,
      onProgress: () => live.push(Tensor.live),
    });
    // Of the case at hand nothing is left; of the next, what is prepared by then: seven volumes at most.
    const [first] = live as [number];
    for (const held of live) expect(held).toBeLessThanOrEqual(first + 14);
    expect(live.at(-1)).toBeLessThanOrEqual(first);
  });
});

/** A safetensors file of one small tensor with metadata. */
async function writeFloats(path: string, metadata: Record<string, string>): Promise<void> {
  const header = { __metadata__: metadata, one: { dtype: "F32", shape: [2], data_offsets: [0, 8] } };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  await writeFile(path, Buffer.concat([length, json, Buffer.alloc(8)]));
}
