import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { statesOf } from "../dist/cohort/cache.js";
import { readImage } from "../dist/cohort/image.js";
import { readManifest } from "../dist/cohort/manifest.js";
import { prepareCohort } from "../dist/cohort/preprocess.js";
import { refusal } from "./image-refusal.js";

const folder = mkdtempSync(join(tmpdir(), "transfer-limits-links-"));
afterAll(() => rmSync(folder, { recursive: true }));

const voxels = Buffer.from(Array.from({ length: 24 }, (_, index) => index));
const mhd = (data: string) =>
  `ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementSpacing = 1 2 3\nElementType = MET_UCHAR\nElementDataFile = ${data}\n`;

function write(path: string, contents: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
  return path;
}

/** As DataLad lays a file: a link to content under .git/annex/objects, which is there once it was fetched. */
function annexed(dataset: string, file: string, contents: string | Uint8Array | null): string {
  const key = `MD5E-s24--${"0".repeat(32)}.raw`;
  const content = join(dataset, ".git", "annex", "objects", "Kx", "W3", key, key);
  if (contents !== null) write(content, contents);
  const link = join(dataset, file);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(relative(dirname(link), content), link);
  return link;
}

describe("A data set of DataLad (git-annex)", () => {
  test("an MHD whose data file is a link into the annex is refused with what mends it, and read where the data set is the root", async () => {
    const dataset = join(folder, "dataset");
    const path = write(join(dataset, "sub-01", "t2w.mhd"), mhd("t2w.raw"));
    annexed(dataset, "sub-01/t2w.raw", voxels);
    const reason = await refusal(path);
    expect(reason).toMatch(
      /its data file "t2w\.raw" is a link to \S+\/\.git\/annex\/objects\/\S+, which lies outside/,
    );
    expect(reason).toContain("datalad unlock t2w.raw, or git annex unlock t2w.raw");
    expect(reason).toContain(
      "cohort.images.root of the study, --root of inspect and embed, root of readImage",
    );

    expect([...(await readImage(path, { root: dataset })).data]).toEqual([...voxels]);
    // What the cache looks at to know whether an image changed is the file that was read, too.
    expect(await statesOf(path)).toHaveLength(1);
    expect(await statesOf(path, dataset)).toHaveLength(2);

    const manifest = await readManifest(write(join(dataset, "manifest.csv"), "case,t2w\na,sub-01/t2w.mhd\n"));
    const options = { voxels: [8, 8, 8], crop: { around: "centre", fieldOfView: "whole" } } as const;
    const cache = join(folder, "cache");
    const { excluded } = await prepareCohort(manifest, { ...options, voxels: [8, 8, 8] }, { cache });
    expect(excluded[0]?.reason).toContain("datalad unlock");
    const prepared = await prepareCohort(
      manifest,
      { ...options, voxels: [8, 8, 8] },
      { cache, images: { root: dataset } },
    );
    expect(prepared.cases.map(({ id }) => id)).toEqual(["a"]);
  });

  test("content that was not fetched is named, with what fetches it", async () => {
    const dataset = join(folder, "unfetched");
    annexed(dataset, "t2w.nii.gz", null);
    const fetch = (name: string) => `get it: datalad get ${name}, or git annex get ${name}`;
    expect(await refusal(join(dataset, "t2w.nii.gz"))).toContain(fetch("t2w.nii.gz"));
    symlinkSync(".git/annex/objects/Kx/W3/KEY/KEY", join(dataset, "adc.raw"));
    expect(await refusal(write(join(dataset, "adc.mhd"), mhd("adc.raw")))).toContain(fetch("adc.raw"));

    const pointer = "/annex/objects/MD5E-s24--0123456789abcdef0123456789abcdef.nii.gz\n";
    expect(await refusal(write(join(dataset, "hbv.nii.gz"), pointer))).toContain(fetch("hbv.nii.gz"));
    write(join(dataset, "hbv.raw"), pointer);
    expect(await refusal(write(join(dataset, "hbv.mhd"), mhd("hbv.raw")))).toContain(fetch("hbv.raw"));
  });

  test("a pointer of Git LFS is named, too", async () => {
    const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 24\n`;
    expect(await refusal(write(join(folder, "lfs.mha"), pointer))).toContain(
      "git lfs pull --include lfs.mha",
    );
  });
});

describe("Other links", () => {
  test("one that leads nowhere says where it leads; one that leads to itself, that", async () => {
    symlinkSync("nowhere.nii", join(folder, "dangling.nii"));
    expect(await refusal(join(folder, "dangling.nii"))).toContain(
      "it is a link to nowhere.nii, which does not exist",
    );
    symlinkSync("circle.nii", join(folder, "circle.nii"));
    expect(await refusal(join(folder, "circle.nii"))).toContain("its links lead in a circle");
  });

  test("a root that is not there is named", async () => {
    const path = write(join(folder, "rooted", "a.mhd"), mhd("a.raw"));
    expect(await refusal(path, { root: join(folder, "rooted", "gone") })).toContain("which lies outside");
    symlinkSync(join(folder, "gone"), join(folder, "root-link"));
    expect(await refusal(join(folder, "root-link", "a.mhd"), { root: join(folder, "root-link") })).toContain(
      "there is no such file",
    );
  });
});

describe("What is not a regular file is refused at once", () => {
  const pipe = join(folder, "pipe.nii.gz");
  execFileSync("mkfifo", [pipe]);

  test("a pipe, a device, a folder, a link to a pipe", async () => {
    symlinkSync(pipe, join(folder, "to-pipe.nii"));
    for (const path of [pipe, join(folder, "to-pipe.nii"), "/dev/zero", "/dev/tty", folder])
      expect(await refusal(path)).toContain("is not a regular file");
  });

  test("a data file that is a pipe or a folder; the cache passes over it", async () => {
    for (const data of ["pipe.nii.gz", "dataset"]) {
      const path = write(join(folder, "piped.mhd"), mhd(data));
      expect(await refusal(path)).toContain(`its data file "${data}" is not a regular file`);
      expect(await statesOf(path)).toHaveLength(1);
    }
  });
});
