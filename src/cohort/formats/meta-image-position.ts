import { describe } from "../../common/errors.js";
import { badImage } from "./bad-image.js";
import { parseNumbers } from "./header-numbers.js";
import { voxelToPatientFrom } from "./opened-image.js";

/** Names that the format has for the same thing, the one that is written today first. */
const matrixNames = ["TransformMatrix", "Rotation", "Orientation"] as const;
const originNames = ["Offset", "Position", "Origin"] as const;

/** The fields that have to do with the position. */
export const positionFields = [
  ...matrixNames,
  ...originNames,
  "ElementSpacing",
  "ElementSize",
  "DistanceUnits",
  "AnatomicalOrientation",
] as const;

const millimetresIn: Readonly<Record<string, number>> = { mm: 1, cm: 10, um: 1e-3, "?": 1 };

type Fields = ReadonlyMap<string, string>;

/**
 * The position of a MetaImage, as ITK reads it: a row of the matrix is the direction of an axis, in LPS; the offset is the
 * centre of the first voxel; the size of an element is its spacing where no spacing is given. What is missing has the value
 * that the format gives it: no turn, no offset, 1 mm. The centre of rotation does not move an image. The letters of
 * `AnatomicalOrientation` repeat what the matrix says, often wrongly: they are passed over, as ITK does.
 */
export function metaImagePosition(
  path: string,
  fields: Fields,
  dimension: number,
): { voxelToPatient: number[]; remarks: string[] } {
  const identity = Array.from({ length: dimension ** 2 }, (_, at) => (at % (dimension + 1) === 0 ? 1 : 0));
  const given = oneOf(path, fields, matrixNames, dimension ** 2);
  const matrix = given ?? identity;
  const row = (axis: number) => matrix.slice(axis * dimension, (axis + 1) * dimension);
  requireRotation(path, fields, [0, 1, 2].map(row), dimension === 4 ? row(3) : null);
  const origin = oneOf(path, fields, originNames, dimension) ?? identity.map(() => 0);
  const spacing = spacingOf(path, fields, dimension);
  const unit = fields.get("DistanceUnits")?.toLowerCase() ?? "mm";
  const millimetres = Object.hasOwn(millimetresIn, unit) ? millimetresIn[unit] : undefined;
  if (millimetres === undefined)
    throw badImage(path, `its field DistanceUnits is ${describe(unit)}; expected mm, cm or um`);
  const axes = [0, 1, 2].map((axis) =>
    row(axis)
      .slice(0, 3)
      .map((value) => value * (spacing?.[axis] ?? 1) * millimetres),
  );
  const letters = fields.get("AnatomicalOrientation");
  const remarks: string[] = [];
  if (spacing === undefined)
    remarks.push("Its header gives no spacing: 1 mm along each axis, by the format.");
  if (given === undefined && letters !== undefined && !/^(?:RAI.?|\?+)$/.test(letters))
    remarks.push(
      `Its header gives no TransformMatrix: the axes run to the left, to the back and to the head, whatever its AnatomicalOrientation ${describe(letters)} says.`,
    );
  return {
    voxelToPatient: voxelToPatientFrom(
      path,
      axes,
      origin.slice(0, 3).map((value) => value * millimetres),
    ),
    remarks,
  };
}

/** A field that may have one of several names; where it has two, they must say the same. */
function oneOf(path: string, fields: Fields, names: readonly string[], count: number): number[] | undefined {
  const [first, ...more] = names.filter((name) => fields.has(name));
  if (first === undefined) return undefined;
  const values = parseNumbers(path, first, fields.get(first) as string, count);
  for (const other of more)
    if (
      parseNumbers(path, other, fields.get(other) as string, count).some((value, at) => value !== values[at])
    )
      throw badImage(path, `its fields ${first} and ${other} mean the same but differ; remove the wrong one`);
  return values;
}

function spacingOf(path: string, fields: Fields, dimension: number): number[] | undefined {
  const name = ["ElementSpacing", "ElementSize"].find((candidate) => fields.has(candidate));
  if (name === undefined) return undefined;
  const text = fields.get(name) as string;
  const spacing = parseNumbers(path, name, text, dimension);
  if (!spacing.every((value) => value > 0))
    throw badImage(path, `its field ${name} is ${describe(text)}; expected ${dimension} numbers above 0`);
  return spacing;
}

/** ITK replaces a matrix that spans nothing by the identity, in silence: here it is refused. */
function requireRotation(path: string, fields: Fields, rows: number[][], time: number[] | null): void {
  const dot = (a: number[], b: number[]) =>
    a.reduce((sum, value, index) => sum + value * (b[index] as number), 0);
  const isRotation = rows.every((a, row) =>
    rows.every((b, other) => Math.abs(dot(a.slice(0, 3), b.slice(0, 3)) - (row === other ? 1 : 0)) < 1e-3),
  );
  const mixesTime =
    time !== null && (rows.some((row) => row[3] !== 0) || time.slice(0, 3).some((value) => value !== 0));
  if (isRotation && !mixesTime) return;
  const name = matrixNames.find((candidate) => fields.has(candidate)) ?? matrixNames[0];
  throw badImage(
    path,
    `its field ${name} is ${describe(fields.get(name))}; expected axes of length 1 at right angles${time === null ? "" : ", the fourth by itself"}`,
  );
}
