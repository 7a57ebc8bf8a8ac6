import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { statesOf } from "../dist/cohort/cache.js";
import { readImage } from "../dist/cohort/image.js";

const folder = mkdtempSync(join(tmpdir(), "transfer-limits-long-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A field's value of nearly a megabyte, the most that a header may have. */
const long = (part: string) => part.repeat(Math.floor(900_000 / part.length));
const nrrd = (fields: string, { sizes = "2 3 4", dimension = "3", space = "LPS" } = {}) =>
  `NRRD0005\ntype: uchar\ndimension: ${dimension}\nsizes: ${sizes}\nspace: ${space}\nencoding: raw\n${fields}\n\n`;
const metaImage = (fields: string, { sizes = "2 3 4", axes = "3", data = "LOCAL" } = {}) =>
  `ObjectType = Image\nNDims = ${axes}\nDimSize = ${sizes}\n${fields}\nElementType = MET_UCHAR\nElementDataFile = ${data}\n`;

describe("A header of a megabyte is refused in a time proportional to its length, with a short message", () => {
  test.each([
    ["digits that end in no number", nrrd(`spacings: ${long("1")}x 1 1`)],
    ["spaces after a data file", nrrd(`spacings: 1 1 1\ndata file: a${long(" ")}x`)],
    ["numbers after a data file", nrrd(`spacings: 1 1 1\ndata file: a${long(" 1")}x`)],
    ["vectors", nrrd(`space directions: ${long("(1,0,0) ")}`)],
    ["open vectors", nrrd(`space directions: ${long("(")}`)],
    ["a vector", nrrd(`space directions: (${long("1,")}1) (0,1,0) (0,0,1)`)],
    ["quotes", nrrd(`space directions: (1,0,0) (0,1,0) (0,0,1)\nspace units: ${long('"')}`)],
    ["kinds", nrrd(`kinds: ${long("list ")}`)],
    ["sizes", nrrd("", { sizes: long("2 ") })],
    ["a dimension", nrrd("", { dimension: long("3") })],
    ["a space", nrrd("", { space: long("left-") })],
    ["fields", nrrd(long("a: b\n"))],
    ["sizes of a MetaImage", metaImage("", { sizes: long("2 ") })],
    ["axes of a MetaImage", metaImage("", { axes: long("3") })],
    ["channels of a MetaImage", metaImage(`ElementNumberOfChannels = ${long("2 ")}`)],
    ["a matrix", metaImage(`TransformMatrix = ${long("1 ")}`)],
    ["a spacing", metaImage(`ElementSpacing = ${long("1")}x 1 1`)],
    ["a truth", metaImage(`BinaryData = ${long("1")}`)],
    ["a name", metaImage("", { data: long("a") })],
    ["spaces in a name", metaImage("", { data: `a${long(" ")}x` })],
    ["steps in a path", metaImage("", { data: long("a/../") })],
  ])("%s", async (_, header) => {
    const path = join(folder, "image");
    writeFileSync(path, Buffer.concat([Buffer.from(header), Buffer.alloc(24)]));
    const before = process.cpuUsage();
    const error = await readImage(path).then(
      () => expect.unreachable("it was read"),
      (reason: unknown) => reason as Error & { code: string },
    );
    expect(await statesOf(path)).toHaveLength(1);
    const { user, system } = process.cpuUsage(before);
    expect(user + system).toBeLessThan(4e6);
    expect(error.code).toBe("BAD_IMAGE");
    expect(error.message.length).toBeLessThan(600);
  });
});
