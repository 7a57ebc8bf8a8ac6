import { describe } from "../../common/errors.js";
import { badImage } from "./bad-image.js";
import { parseNumber, parseNumbers } from "./header-numbers.js";
import { voxelToPatientFrom } from "./opened-image.js";

/** Which of a file's axes are those of space, and where they lie. */
export interface NrrdPosition {
  /** The axis that counts volumes (a time, a list, the components of a vector), counted from 0, where there is one. */
  volumeAxis: number | undefined;
  voxelToPatient: number[];
  remarks: string[];
}

type Fields = ReadonlyMap<string, string>;

/** Signs of x, y and z in LPS; null: where the patient lies in the space is not said. */
type Signs = readonly [number, number, number] | null;

/** The format's spaces, each by its names, with and without a time. */
const spaces: ReadonlyMap<string, { signs: Signs; dimension: 3 | 4 }> = new Map(
  (
    [
      ["left-posterior-superior", "lps", [1, 1, 1]],
      ["right-anterior-superior", "ras", [-1, -1, 1]],
      ["left-anterior-superior", "las", [1, -1, 1]],
      ["scanner-xyz", null, null],
      ["3d-right-handed", null, null],
    ] as const
  ).flatMap(([name, short, signs]): [string, { signs: Signs; dimension: 3 | 4 }][] => [
    [name, { signs, dimension: 3 }],
    [`${name}-time`, { signs, dimension: 4 }],
    ...(short === null
      ? []
      : ([
          [short, { signs, dimension: 3 }],
          [`${short}t`, { signs, dimension: 4 }],
        ] as [string, { signs: Signs; dimension: 3 | 4 }][])),
  ]),
);

const millimetresIn: Readonly<Record<string, number>> = {
  "": 1,
  mm: 1,
  millimeter: 1,
  millimeters: 1,
  millimetre: 1,
  millimetres: 1,
  cm: 10,
  centimeter: 10,
  centimeters: 10,
  centimetre: 10,
  centimetres: 10,
  m: 1000,
  meter: 1000,
  meters: 1000,
  metre: 1000,
  metres: 1000,
  um: 1e-3,
  µm: 1e-3,
  micron: 1e-3,
  microns: 1e-3,
  micrometer: 1e-3,
  micrometers: 1e-3,
  micrometre: 1e-3,
  micrometres: 1e-3,
};

/**
 * The position of an NRRD by the format's definition. `space origin` is the centre of the first voxel, `space directions` are
 * the steps along the axes, both in the named space; without directions the steps are the `spacings` along x, y and z.
 * The measurement frame, which is about the voxels' vectors, says nothing about their place.
 */
export function nrrdPosition(path: string, fields: Fields, sizes: readonly number[]): NrrdPosition {
  const space = spaceOf(path, fields);
  const directions = fields.get("space directions");
  if (directions === undefined) return alongTheAxes(path, fields, sizes, space);

  const vectors = parseVectors(path, "space directions", directions);
  if (vectors.length !== sizes.length)
    throw badImage(
      path,
      `its header gives ${sizes.length} axes but ${vectors.length} space directions: ${describe(directions)}`,
    );
  for (const vector of vectors) requireLength(path, "space directions", vector, space);
  for (const name of ["axis mins", "axis maxs"])
    if (fields.has(name))
      throw badImage(path, `its header gives both "space directions" and ${describe(name)}; keep the first`);

  const isVolumes = (vector: readonly number[] | null) =>
    vector === null || (space.dimension === 4 && vector.slice(0, 3).every((value) => value === 0));
  const volumeAxis = onlyAxis(
    path,
    sizes,
    vectors.flatMap((vector, axis) => (isVolumes(vector) ? [axis] : [])),
    "no direction in space",
  );
  const steps = vectors.filter((_, axis) => axis !== volumeAxis) as number[][];
  if (steps.some((step) => step[3] !== undefined && step[3] !== 0))
    throw badImage(path, `its axes of space run through time, too: ${describe(directions)}`);
  requireSameLengths(path, fields, vectors);
  const scale = scaleOf(path, fields, space);
  const toPatient = (vector: readonly number[]) =>
    [0, 1, 2].map((row) => (vector[row] as number) * (scale[row] as number));
  const origin = originOf(path, fields, space);
  return {
    volumeAxis,
    voxelToPatient: voxelToPatientFrom(path, steps.map(toPatient), toPatient(origin)),
    remarks: space.remarks,
  };
}

interface Space {
  /** 3, or 4 with the time. */
  dimension: 3 | 4;
  /** As the header names it; absent where it does not. */
  name?: string;
  signs: readonly [number, number, number];
  remarks: string[];
}

function spaceOf(path: string, fields: Fields): Space {
  const name = fields.get("space");
  const count = fields.get("space dimension");
  const asLps = (what: string) => [
    `${what}, so it is not said where the patient lies: its x, y and z are taken as left, posterior and superior (LPS).`,
  ];
  if (name === undefined) {
    if (count !== undefined && count !== "3")
      throw badImage(path, `its space has ${describe(count)} dimensions; expected 3`);
    return { dimension: 3, signs: [1, 1, 1], remarks: asLps("Its header names no space") };
  }
  const known = spaces.get(name.toLowerCase());
  if (known === undefined)
    throw badImage(
      path,
      `its space is ${describe(name)}${/^3d-left-handed/i.test(name) ? ", in which the patient is not known from a mirror image" : ""}; ` +
        "expected left-posterior-superior (LPS), right-anterior-superior (RAS) or left-anterior-superior (LAS)",
    );
  const { signs, dimension } = known;
  if (count !== undefined && count !== String(dimension))
    throw badImage(path, `its space ${describe(name)} has ${dimension} dimensions, not ${describe(count)}`);
  if (signs === null) return { dimension, name, signs: [1, 1, 1], remarks: asLps(`Its space is ${name}`) };
  return { dimension, name, signs, remarks: [] };
}

/**
 * Axes without directions: along x, y and z, by `spacings`. Where only `axis mins` and `axis maxs` would tell the spacing,
 * ITK takes 1 mm: such a file is refused.
 */
function alongTheAxes(path: string, fields: Fields, sizes: readonly number[], space: Space): NrrdPosition {
  if (space.name !== undefined && space.signs.some((sign) => sign !== 1))
    throw badImage(
      path,
      `its header names the space ${describe(space.name)} but gives no "space directions": along which of its axes the voxels lie is not known`,
    );
  if (space.dimension === 4)
    throw badImage(path, 'its header names a space with a time but gives no "space directions"');
  // By the format NaN means "not known", and stands where an axis has none.
  const perAxis = (name: string) => {
    const text = fields.get(name);
    if (text === undefined) return sizes.map(() => Number.NaN);
    const values = text.split(/\s+/);
    if (
      values.length !== sizes.length ||
      !values.every((value) => /^nan$/i.test(value) || Number.isFinite(parseNumber(value)))
    )
      throw badImage(
        path,
        `its field ${describe(name)} is ${describe(text)}; expected ${sizes.length} numbers`,
      );
    return values.map(parseNumber);
  };
  const [steps, lows] = [perAxis("spacings"), perAxis("axis mins")];
  const centers = fields.get("centers")?.toLowerCase().split(/\s+/) ?? [];
  const volumeAxis = volumeAxisByKind(path, fields, sizes, steps);
  const axes = sizes.flatMap((_, axis) => (axis === volumeAxis ? [] : [axis]));
  const step = axes.map((axis) => steps[axis] as number);
  if (!step.every((value) => value > 0 && Number.isFinite(value)))
    throw badImage(
      path,
      `its header gives a spacing of ${step.map((value) => (Number.isNaN(value) ? "nothing" : value)).join(", ")}; ` +
        'expected three numbers above 0: add "space directions" and "space origin", or "spacings"',
    );
  const scale = scaleOf(path, fields, space, axes);
  const placed = fields.has("space origin") ? originOf(path, fields, space) : null;
  // The centre of the first voxel; `axis mins` is its edge, unless the axis says that it is the centre.
  const origin = axes.map((axis, row) => {
    const low = lows[axis] as number;
    if (placed !== null || Number.isNaN(low)) return placed?.[row] ?? 0;
    return centers[axis] === "node" ? low : low + (steps[axis] as number) / 2;
  });
  const diagonal = step.map((value, row) =>
    [0, 1, 2].map((at) => (at === row ? value * (scale[row] as number) : 0)),
  );
  return {
    volumeAxis,
    voxelToPatient: voxelToPatientFrom(
      path,
      diagonal,
      origin.map((value, row) => value * (scale[row] as number)),
    ),
    remarks: space.remarks,
  };
}

/** Of axes without directions: by its kind, then by its missing spacing; the last one where neither tells. */
function volumeAxisByKind(
  path: string,
  fields: Fields,
  sizes: readonly number[],
  steps: readonly number[],
): number | undefined {
  const kinds = fields.get("kinds")?.toLowerCase().split(/\s+/) ?? [];
  const known = /^(?:domain|space|none|\?\?\?)$/;
  const byKind = kinds.flatMap((kind, axis) => (known.test(kind) ? [] : [axis]));
  if (byKind.length > 0) return onlyAxis(path, sizes, byKind, "a kind that is not of space");
  const unknown = steps.flatMap((step, axis) => (Number.isNaN(step) ? [axis] : []));
  if (sizes.length === 4 && unknown.length === 1) return unknown[0];
  return sizes.length === 4 ? 3 : undefined;
}

/** The one axis among `found` that is not of space: none of three axes, one of four. */
function onlyAxis(
  path: string,
  sizes: readonly number[],
  found: readonly number[],
  what: string,
): number | undefined {
  if (found.length === sizes.length - 3) return found[0];
  throw badImage(
    path,
    `${found.length} of its ${sizes.length} axes have ${what}; expected three axes of space${sizes.length === 4 ? ", and one that counts volumes" : ""}`,
  );
}

/** Factors from the file's coordinates to millimetres in LPS. */
function scaleOf(path: string, fields: Fields, space: Space, axes?: readonly number[]): number[] {
  const ofSpace = unitsOf(path, fields, "space units", space.dimension);
  const ofAxes = axes && unitsOf(path, fields, "units", undefined);
  return space.signs.map((sign, row) => {
    const unit = ofSpace?.[row] ?? (axes && ofAxes?.[axes[row] as number]) ?? "";
    const millimetres = Object.hasOwn(millimetresIn, unit) ? millimetresIn[unit] : undefined;
    if (millimetres === undefined)
      throw badImage(path, `its unit of length is ${describe(unit)}; expected mm, cm, m or um`);
    return sign * millimetres;
  });
}

/** Words in quotes. */
function unitsOf(
  path: string,
  fields: Fields,
  name: string,
  count: number | undefined,
): string[] | undefined {
  const text = fields.get(name);
  if (text === undefined) return undefined;
  const words = [...text.matchAll(/"([^"]*)"|(\S+)/g)].map((match) =>
    (match[1] ?? match[2] ?? "")
      .trim()
      .replace(/^\u00c2?[\u00b5\u03bc]/, "µ")
      .replace(/^\?\?\?$/, ""),
  );
  if (count !== undefined && words.length !== count)
    throw badImage(
      path,
      `its field ${describe(name)} is ${describe(text)}; expected ${count} words in quotes`,
    );
  // "M" is no metre, but "MM" and "Millimeter" are written for mm.
  return words.map((word) => (word.length > 1 ? word.toLowerCase() : word));
}

function originOf(path: string, fields: Fields, space: Space): number[] {
  const text = fields.get("space origin");
  if (text === undefined) return [0, 0, 0];
  const [origin, ...more] = parseVectors(path, "space origin", text);
  if (!origin || more.length > 0)
    throw badImage(path, `its field "space origin" is ${describe(text)}; expected one vector`);
  requireLength(path, "space origin", origin, space);
  return origin;
}

function requireLength(path: string, name: string, vector: readonly number[] | null, space: Space): void {
  if (vector !== null && vector.length !== space.dimension)
    throw badImage(
      path,
      `its field ${describe(name)} has vectors of ${vector.length} numbers; expected ${space.dimension}, as its space has dimensions`,
    );
}

/** `spacings` beside directions say nothing new: what they say must agree. */
function requireSameLengths(
  path: string,
  fields: Fields,
  vectors: readonly (readonly number[] | null)[],
): void {
  const spacings = fields.get("spacings")?.split(/\s+/).map(parseNumber) ?? [];
  for (const [axis, vector] of vectors.entries()) {
    const spacing = spacings[axis];
    if (vector === null || spacing === undefined || Number.isNaN(spacing)) continue;
    const length = Math.hypot(...vector);
    if (!(Math.abs(spacing - length) <= 1e-3 * length))
      throw badImage(
        path,
        `its header gives a spacing of ${spacing} along axis ${axis}, but a step of ${length.toPrecision(6)} by "space directions"; remove what is wrong`,
      );
  }
}

/** Vectors in parentheses, "none" (or NaN for every number) in place of one that is not there. */
function parseVectors(path: string, name: string, text: string): (number[] | null)[] {
  const tokens: string[] = [];
  const token = /\s*(none|\([^()]*\))\s*/iy;
  while (token.lastIndex < text.length) {
    const found = token.exec(text)?.[1];
    if (found === undefined)
      throw badImage(
        path,
        `its field ${describe(name)} is ${describe(text)}; expected vectors such as (1,0,0)`,
      );
    tokens.push(found);
  }
  return tokens.map((token) => {
    if (/^none$/i.test(token)) return null;
    const words = token
      .slice(1, -1)
      .split(",")
      .map((word) => word.trim());
    if (words.every((word) => /^nan$/i.test(word))) return null;
    return parseNumbers(path, describe(name), words.join(" "), words.length);
  });
}
