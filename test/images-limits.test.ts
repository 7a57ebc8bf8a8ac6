import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { readImage } from "../dist/cohort/image.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { refusal } from "./image-refusal.js";

const folder = mkdtempSync(join(tmpdir(), "transfer-limits-limits-"));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, ...parts: (string | Uint8Array)[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts.map((part) => Buffer.from(part as Uint8Array))));
  return path;
}

function nifti(size: number[], datatype: number): Buffer {
  const header = Buffer.alloc(352);
  header.writeInt32LE(348, 0);
  for (const [index, length] of [size.length, ...size].entries()) header.writeInt16LE(length, 40 + 2 * index);
  header.writeInt16LE(datatype, 70);
  for (const index of [1, 2, 3]) header.writeFloatLE(1, 76 + 4 * index);
  header.writeFloatLE(352, 108);
  header.write("n+1", 344, "latin1");
  return header;
}
const [uint8, float64] = [2, 64];

const metaImage = (size: string, type: string, ...more: string[]) =>
  [
    "ObjectType = Image",
    `NDims = ${size.split(" ").length}`,
    `DimSize = ${size}`,
    "CompressedData = True",
    ...more,
    `ElementType = ${type}`,
    "ElementDataFile = LOCAL\n",
  ].join("\n");

const nrrd = (sizes: string, type: string, ...more: string[]) =>
  [
    "NRRD0005",
    `type: ${type}`,
    `dimension: ${sizes.split(" ").length}`,
    `sizes: ${sizes}`,
    "endian: little",
    "spacings: 1 1 1",
    ...more,
    "encoding: gzip\n\n",
  ].join("\n");

/** 64 MiB of zeros as a member of a gzip file: 64 KB. Members follow one another, so that 64 of them hold 4 GiB. */
const zeros = gzipSync(Buffer.alloc(1 << 26), { level: 9 });
const members = (count: number) => Array.from({ length: count }, () => zeros);

describe("A small file that would become a large one", () => {
  test("is refused by the voxels of a volume, before anything is decompressed", async () => {
    const paths = [
      write("bomb.nii.gz", gzipSync(nifti([512, 512, 2000], float64)), ...members(64)),
      write("bomb.nrrd", nrrd("1024 1024 512", "uchar"), ...members(8)),
      write("bomb.mha", metaImage("1024 1024 512", "MET_UCHAR"), Buffer.alloc(520_000, 1)),
    ];
    expect(statSync(paths[0] as string).size).toBeLessThan(4.5e6);
    for (const path of paths) {
      const before = process.cpuUsage();
      expect(await refusal(path)).toMatch(
        /more than 134,217,728 voxels; if the file is to be trusted, raise cohort\.images\.voxels of the study, or limits\.voxels of readImage/,
      );
      const { user, system } = process.cpuUsage(before); // not by the clock, which other processes move
      expect(user + system).toBeLessThan(1e6);
    }
  });

  test("is refused by how many times as large as the file it becomes, beyond 256 MiB", async () => {
    const paths = [
      write("expands.nii.gz", gzipSync(nifti([512, 512, 500], float64)), ...members(16)),
      write("expands.nrrd", nrrd("512 512 500", "double"), ...members(16)),
      write("expands.mha", metaImage("512 512 500", "MET_DOUBLE"), Buffer.alloc(1_050_000, 1)),
      write("times.nii.gz", gzipSync(nifti([512, 512, 100, 40], uint8)), ...members(16)),
    ];
    for (const path of paths)
      expect(await refusal(path)).toMatch(
        /its header promises 1,048,576,\d{3} bytes, (?:99\d|1,0\d\d) times as many as .*, more than 200 times; .* raise cohort\.images\.expansion/,
      );
  });

  test("is refused by its number of volumes, and by volumes that lie in one another", async () => {
    const many = nrrd("1 1 1 4000000", "uchar").replace("spacings: 1 1 1", "spacings: 1 1 1 nan");
    expect(await refusal(write("many.nrrd", many, gzipSync(Buffer.alloc(4_000_000))))).toContain(
      "its header gives 4,000,000 volumes; expected 1 to 65,536",
    );
    const channels = metaImage("512 512 100", "MET_UCHAR", "ElementNumberOfChannels = 30");
    expect(await refusal(write("channels.mha", channels, Buffer.alloc(900_000, 1)))).toContain(
      "its 30 volumes lie in one another and have 786,432,000 voxels together, more than 134,217,728",
    );
  });

  test("is read where it is within the limits, or where they are raised", async () => {
    const voxels = 256 * 256 * 1024;
    const mask = write("mask.nrrd", nrrd("256 256 1024", "uchar"), zeros);
    expect(voxels / statSync(mask).size).toBeGreaterThan(1000);
    expect((await readImage(mask)).data).toHaveLength(voxels);
    expect(await refusal(mask, { limits: { voxels: voxels - 1 } })).toContain("more than 67,108,863 voxels");
    expect((await readImage(mask, { limits: { voxels } })).data).toHaveLength(voxels);

    const doubles = write("doubles.nrrd", nrrd("256 256 640", "double"), ...members(5));
    expect(await refusal(doubles)).toContain("raise cohort.images.expansion");
    const raised = await readImage(doubles, { limits: { expansion: 1032 } });
    expect(raised.data).toHaveLength(256 * 256 * 640);
  });

  test("is judged by what the study says", async () => {
    write("manifest.csv", "case,t2w\na,t2w.nrrd\nb,t2w.nrrd\nc,t2w.nrrd\n");
    const study = (images: object) =>
      checkStudy(
        {
          name: "limits",
          cohort: { manifest: "manifest.csv", voxels: [8, 8, 16], images },
          split: { train: 1, validation: 1, test: 1 },
          models: [{ name: "profound", encoder: "profound-demo", pretrain: { epochs: 1 } }],
          tasks: [],
        } as StudyInput,
        folder,
      );
    expect((await study({})).study.cohort.images).toEqual({ root: null, voxels: 2 ** 27, expansion: 200 });
    expect((await study({ root: "..", voxels: 1000 })).study.cohort.images).toEqual({
      root: join(folder, ".."),
      voxels: 1000,
      expansion: 200,
    });
    for (const [images, message] of [
      [{ voxels: 0 }, /cohort\.images\.voxels/],
      [{ voxels: 2 ** 31 }, /cohort\.images\.voxels/],
      [{ expansion: 1033 }, /cohort\.images\.expansion/],
      [{ expansions: 10 }, /cohort\.images/],
    ] as const)
      await expect(study(images)).rejects.toMatchObject({
        code: "BAD_CONFIG",
        message: expect.stringMatching(message),
      });
  });

  test.each([0, 1.5, Number.NaN, "many"])("a limit of %s is none", async (voxels) => {
    const limits = { voxels } as { voxels: number };
    await expect(readImage(join(folder, "mask.nrrd"), { limits })).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("Expected a whole number of at least 1 for limits.voxels"),
    });
  });

  // 2^24 doubles are 128 MiB in the file, 64 MiB when read; Node itself takes some 60 MiB.
  test("takes the memory of one volume in float32, and little beside it", async () => {
    const data = Buffer.alloc(1 << 27);
    const paths = [
      write("large.nrrd", nrrd("256 256 256", "double"), gzipSync(data)),
      write("large.mha", metaImage("256 256 256", "MET_DOUBLE"), deflateSync(data)),
      write("large.nii.gz", gzipSync(Buffer.concat([nifti([256, 256, 256], float64), data]))),
    ];
    const module = fileURLToPath(new URL("../dist/cohort/image.js", import.meta.url));
    for (const path of paths) {
      const script = `const { readImage } = await import(${JSON.stringify(module)});
        const { shape } = await readImage(${JSON.stringify(path)});
        console.log(JSON.stringify([shape, process.resourceUsage().maxRSS]));`;
      const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
      const [shape, kibibytes] = JSON.parse(stdout) as [number[], number];
      expect(shape).toEqual([256, 256, 256]);
      expect(kibibytes / 1024).toBeLessThan(64 + 200);
    }
  });
});
