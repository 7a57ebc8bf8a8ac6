import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { applyAffine } from "../dist/cohort/geometry.js";
import { readImage } from "../dist/cohort/image.js";
import { inspectImage } from "../dist/cohort/inspect-image.js";
import { shared, sharedMissing } from "./shared.js";

// Positions were computed by hand from the formats' definitions. SimpleITK 2.5 gives the same wherever it reads the file,
// but for NRRD's spaces with a time (it takes them all for LPS) and units other than mm (it passes over them).
const folder = mkdtempSync(join(tmpdir(), "transfer-limits-position-"));
afterAll(() => rmSync(folder, { recursive: true }));

function write(name: string, header: string, voxels: number): string {
  const path = join(folder, name);
  writeFileSync(
    path,
    Buffer.concat([Buffer.from(header), Buffer.from(Array.from({ length: voxels }, (_, i) => i))]),
  );
  return path;
}

const nrrd = (sizes: string, fields: string[]): string => {
  const lengths = sizes.split(" ").map(Number);
  const header = [
    "NRRD0005",
    "type: uint8",
    `dimension: ${lengths.length}`,
    `sizes: ${sizes}`,
    "encoding: raw",
  ];
  return write(
    "image.nrrd",
    `${[...header, ...fields].join("\n")}\n\n`,
    lengths.reduce((all, length) => all * length, 1),
  );
};

const metaImage = (sizes: string, fields: Record<string, string>, channels = 1): string => {
  const lengths = sizes.split(" ").map(Number);
  const all = { ObjectType: "Image", NDims: String(lengths.length), DimSize: sizes, ...fields };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
  return write(
    "image.mha",
    `${lines.join("")}ElementType = MET_UCHAR\nElementDataFile = LOCAL\n`,
    lengths.reduce((product, length) => product * length, channels),
  );
};

/** Where voxel i = j = k = 1 lies, and the value of the first voxel and its neighbour along i, in `volume`. */
async function voxel(path: string, volume?: number): Promise<{ place: number[]; values: number[] }> {
  const image = await readImage(path, volume === undefined ? {} : { volume });
  expect(image.shape).toEqual([4, 3, 2]);
  expect((await inspectImage(path)).voxelToPatient).toEqual(image.voxelToPatient);
  const place = applyAffine(image.voxelToPatient, [1, 1, 1]).map((value) => Number(value.toFixed(9)));
  return { place, values: [...image.data.subarray(0, 2)] };
}

async function refusal(path: string): Promise<string> {
  const error = await readImage(path).then(
    () => expect.unreachable("it was read"),
    (reason: unknown) => reason as Error & { code: string },
  );
  expect(error.code).toBe("BAD_IMAGE");
  return error.message;
}

describe.skipIf(sharedMissing)(
  "One grid in three of NRRD's spaces (needs the shared folder beside the checkout)",
  () => {
    test.each(["LAS", "left-posterior-superior", "right-anterior-superior"])("%s", async (space) => {
      const image = await readImage(shared("cases", "images", `${space}.nrrd`));
      const place = applyAffine(image.voxelToPatient, [1, 1, 1]);
      for (const [axis, value] of [1.4, 2.6, 6].entries()) expect(place[axis]).toBeCloseTo(value, 9);
    });
  },
);

// i runs along y by 2, j along x by 1.5, k along z by 3 and y by 0.5: (1, 1, 1) lies at (12.5, -9.5, 16) of the space.
const directions = "(0,2,0) (1.5,0,0) (0,0.5,3)";
const origin = "space origin: (11,-12,13)";

describe("The position of an NRRD", () => {
  test.each([
    ["left-posterior-superior", [12.5, -9.5, 16]],
    ["LPS", [12.5, -9.5, 16]],
    ["right-anterior-superior", [-12.5, 9.5, 16]],
    ["RAS", [-12.5, 9.5, 16]],
    ["Left-Anterior-Superior", [12.5, 9.5, 16]],
    ["las", [12.5, 9.5, 16]],
    // Where the patient lies in these is not said: taken as LPS, and remarked.
    ["scanner-xyz", [12.5, -9.5, 16]],
    ["3D-right-handed", [12.5, -9.5, 16]],
  ])("in the space %s", async (space, place) => {
    const path = nrrd("2 3 4", [`space: ${space}`, `space directions: ${directions}`, origin]);
    expect(await voxel(path)).toEqual({ place, values: [0, 1] });
    const { warnings } = await inspectImage(path);
    expect(warnings.join()).toBe(
      /^(scanner|3D)/.test(space)
        ? `Its space is ${space}, so it is not said where the patient lies: its x, y and z are taken as left, posterior and superior (LPS).`
        : "",
    );
  });

  // Voxels count up in the file: volume 1 begins after one value, after the two of i, or after all 24.
  test.each([
    ["first", "2 2 3 4", 0, [1, 3]],
    ["second", "2 2 3 4", 1, [2, 3]],
    ["last", "2 3 4 2", 3, [24, 25]],
  ])("with the axis that counts volumes %s", async (_, sizes, at, values) => {
    const three = directions.split(" ");
    const withList = [...three];
    withList.splice(at, 0, "none");
    for (const fields of [
      ["space: RAS", `space directions: ${withList.join(" ")}`, origin],
      ["space: RAS", `space directions: ${withList.join("  ").replaceAll(",", ", ")}`, origin],
    ])
      expect(await voxel(nrrd(sizes, fields), 1)).toEqual({ place: [-12.5, 9.5, 16], values });

    const withTime = three.map((vector) => vector.replace(")", ",0)"));
    withTime.splice(at, 0, "(0,0,0,30)");
    for (const [space, place] of [
      ["right-anterior-superior-time", [-12.5, 9.5, 16]],
      ["RAST", [-12.5, 9.5, 16]],
      ["LAST", [12.5, 9.5, 16]],
      ["LPST", [12.5, -9.5, 16]],
      ["scanner-xyz-time", [12.5, -9.5, 16]],
    ]) {
      const fields = [
        `space: ${space}`,
        `space directions: ${withTime.join(" ")}`,
        "space origin: (11,-12,13,99)",
      ];
      expect(await voxel(nrrd(sizes, fields), 1)).toEqual({ place, values });
    }

    const spacings = ["1", "2", "3"];
    spacings.splice(at, 0, "nan");
    const kinds = ["domain", "domain", "domain"];
    kinds.splice(at, 0, "list");
    for (const fields of [
      [`spacings: ${spacings.join(" ")}`],
      [`spacings: ${spacings.join(" ").replace("nan", "7")}`, `kinds: ${kinds.join(" ")}`],
    ])
      expect(await voxel(nrrd(sizes, fields), 1)).toEqual({ place: [1, 2, 3], values });
  });

  test("in a space without a name", async () => {
    const path = nrrd("2 3 4", ["space dimension: 3", `space directions: ${directions}`, origin]);
    expect((await voxel(path)).place).toEqual([12.5, -9.5, 16]);
    expect((await inspectImage(path)).warnings.join()).toContain("Its header names no space");
  });

  test.each([
    ["spacings", ["spacings: 1 2 3"], [1, 2, 3]],
    ["spacings in a space that is LPS", ["space: LPS", "spacings: 1 2 3", origin], [12, -10, 16]],
    // The first voxel reaches from 10 to 11, so that its centre is 10.5.
    [
      "spacings and the edge of the first voxel",
      ["spacings: 1 2 3", "axis mins: 10 20 30"],
      [11.5, 23, 34.5],
    ],
    [
      "spacings and the centre of the first voxel",
      ["spacings: 1 2 3", "axismins: 10 20 30", "centerings: node node node"],
      [11, 22, 33],
    ],
    ["a fourth axis of no kind, which counts volumes", ["spacings: 1 2 3 4"], [1, 2, 3]],
    [
      "centimetres",
      ["space: LPS", 'space units: "cm" "cm" "cm"', `space directions: ${directions}`, origin],
      [125, -95, 160],
    ],
    ["micrometres", ["spacings: 1000 2000 3000", 'units: "um" "µm" "microns"'], [1, 2, 3]],
    [
      "a measurement frame, which turns vectors and not the image",
      [
        "space: RAS",
        `space directions: ${directions}`,
        origin,
        "measurement frame: (0,1,0) (1,0,0) (0,0,-1)",
      ],
      [-12.5, 9.5, 16],
    ],
  ])("by %s", async (name, fields, place) => {
    const four = name.startsWith("a fourth");
    expect((await voxel(nrrd(four ? "2 3 4 2" : "2 3 4", fields), four ? 0 : undefined)).place).toEqual(
      place,
    );
  });

  test.each([
    [
      "left-handed",
      ["space: 3D-left-handed", `space directions: ${directions}`],
      "not known from a mirror image",
    ],
    [
      "unknown",
      ["space: right-up", `space directions: ${directions}`],
      'its space is "right-up"; expected left-',
    ],
    ["a name of every object", ["space: constructor", `space directions: ${directions}`], "its space is"],
    [
      "in a plane",
      ["space dimension: 2", "space directions: (1,0) (0,1) none"],
      'its space has "2" dimensions',
    ],
    [
      "without directions",
      ["space: RAS", "spacings: 1 2 3"],
      'names the space "RAS" but gives no "space directions"',
    ],
    [
      "without a spacing",
      [],
      "gives a spacing of nothing, nothing, nothing; expected three numbers above 0: add",
    ],
    [
      "with another spacing",
      ["space: LPS", `space directions: ${directions}`, "spacings: 2 9 3"],
      "a spacing of 9 along axis 1, but a step of 1.50000",
    ],
    [
      "with an axis less",
      ["space: LPS", "space directions: (1,0,0) (0,1,0)"],
      "gives 3 axes but 2 space directions",
    ],
    [
      "with an axis of none",
      ["space: LPS", "space directions: (1,0,0) (0,1,0) none"],
      "1 of its 3 axes have no direction in space",
    ],
    [
      "with short vectors",
      ["space: LPS", "space directions: (1,0) (0,1) (1,1)"],
      "has vectors of 2 numbers; expected 3",
    ],
    ["with words", ["space: LPS", "space directions: (1,0,x) (0,1,0) (0,0,1)"], "expected 3 numbers"],
    ["with what is no vector", ["space: LPS", "space directions: 1 0 0"], "expected vectors such as (1,0,0)"],
    [
      "without volume",
      ["space: LPS", "space directions: (1,0,0) (0,1,0) (1,1,0)"],
      "its axes do not span space",
    ],
    [
      "in inches",
      ["space: LPS", 'space units: "in" "in" "in"', `space directions: ${directions}`],
      'its unit of length is "in"',
    ],
    [
      "that runs through time",
      ["space: LPST", "space directions: (1,0,0,1) (0,1,0,0) (0,0,1,0)"],
      "its axes of space run through time",
    ],
  ])("is refused where its space is %s", async (_, fields, reason) => {
    expect(await refusal(nrrd("2 3 4", fields))).toContain(reason);
  });

  test("is refused where four axes lie in space, or two count volumes", async () => {
    const four = (vectors: string) => nrrd("2 3 4 2", ["space: LPS", `space directions: ${vectors}`]);
    expect(await refusal(four(`${directions} (1,1,1)`))).toContain(
      "0 of its 4 axes have no direction in space",
    );
    expect(await refusal(four("(1,0,0) none (0,1,0) none"))).toContain("2 of its 4 axes have no direction");
  });
});

describe("The position of a MetaImage", () => {
  // A row is the direction of an axis: i along y, j along z, k along x.
  const turned = "0 1 0 0 0 1 1 0 0";
  test.each<[string, Record<string, string>, number[]]>([
    [
      "its matrix, offset and spacing",
      { TransformMatrix: turned, Offset: "10 20 30", ElementSpacing: "1 2 3" },
      [13, 21, 32],
    ],
    [
      "the same by older names",
      { Rotation: turned, Position: "10 20 30", ElementSize: "1 2 3" },
      [13, 21, 32],
    ],
    ["the oldest names", { Orientation: turned, Origin: "10 20 30", ElementSpacing: "1 2 3" }, [13, 21, 32]],
    ["the spacing, not the size of an element", { ElementSize: "9 9 9", ElementSpacing: "1 2 3" }, [1, 2, 3]],
    [
      "its matrix, whatever the letters and the centre of rotation say",
      {
        TransformMatrix: turned,
        ElementSpacing: "1 2 3",
        AnatomicalOrientation: "RAI",
        CenterOfRotation: "9 9 9",
      },
      [3, 1, 2],
    ],
    ["what the format gives where a field is missing", {}, [1, 1, 1]],
    ["centimetres", { Offset: "1 2 3", ElementSpacing: "1 2 3", DistanceUnits: "cm" }, [20, 40, 60]],
  ])("follows %s", async (_, fields, place) => {
    expect(await voxel(metaImage("2 3 4", fields))).toEqual({ place, values: [0, 1] });
  });

  test("says where letters stand alone that they are passed over, and where there is no spacing", async () => {
    const path = metaImage("2 3 4", { AnatomicalOrientation: "LPS" });
    expect((await voxel(path)).place).toEqual([1, 1, 1]);
    expect((await inspectImage(path)).warnings).toEqual([
      "Its header gives no spacing: 1 mm along each axis, by the format.",
      'Its header gives no TransformMatrix: the axes run to the left, to the back and to the head, whatever its AnatomicalOrientation "LPS" says.',
    ]);
  });

  test("of four axes is that of the first three", async () => {
    const fields = {
      TransformMatrix: "0 1 0 0 1 0 0 0 0 0 1 0 0 0 0 1",
      Offset: "1 2 3 4",
      ElementSpacing: "1 2 3 4",
    };
    expect(await voxel(metaImage("2 3 4 2", fields), 1)).toEqual({ place: [3, 3, 6], values: [24, 25] });
    const mixed = { ...fields, TransformMatrix: "1 0 0 0 0 1 0 0 0 0 0 1 0 0 1 0" };
    expect(await refusal(metaImage("2 3 4 2", mixed))).toContain("the fourth by itself");
  });

  test("of channels: each voxel's values lie together, and the choice is named", async () => {
    const path = metaImage("2 3 4", { ElementSpacing: "1 2 3", ElementNumberOfChannels: "3" }, 3);
    expect(await voxel(path, 2)).toEqual({ place: [1, 2, 3], values: [2, 5] });
    expect(await refusal(path)).toContain(
      "it holds 3 channels and none is named; choose one, 0 to 2, by the option volume of readImage; a study takes files of one volume",
    );
    expect((await inspectImage(path)).warnings.join()).toContain("It holds 3 channels");
  });
});
