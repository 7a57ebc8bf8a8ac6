import { z } from "zod";
import { refuseDamaged } from "../common/checksums.js";
import { TransferLimitsError } from "../common/errors.js";
import { readSafetensors, type SafetensorsFile } from "../native/safetensors.js";
import type { ExampleTensors } from "./cell.js";
import { studyPaths } from "./paths.js";

/** One axial slice of a case, as a cell stored it. */
export interface Example {
  case: string;
  slice: number;
  width: number;
  height: number;
  /** Millimetres a pixel. */
  spacing: { height: number; width: number };
  input: Float32Array;
  target: Float32Array;
  prediction: Float32Array;
}

/** The slices that a cell stored, of which single cases are read when asked for. */
export interface Examples {
  kind: "mask" | "image";
  cases: string[];
  read(id: string): Promise<Example>;
}

const list = <Item extends z.ZodType>(item: Item) =>
  z
    .string()
    .transform((text, context) => {
      try {
        return JSON.parse(text) as unknown;
      } catch {
        context.addIssue({ code: "custom", message: "not JSON" });
        return z.NEVER;
      }
    })
    .pipe(z.array(item));

const millimetres = z.number().positive().max(1000);

const metadataSchema = z.object({
  kind: z.enum(["mask", "image"]),
  cases: list(z.string()),
  slices: list(z.number()),
  spacing: list(millimetres).refine((value) => value.length === 2, "expected two numbers"),
  /** Each case's own, where they differ; `spacing` is then the first one's. */
  spacings: list(z.tuple([millimetres, millimetres])).optional(),
});

const names: readonly ExampleTensors[] = ["input", "target", "prediction"];
const largestSide = 4096;

/**
 * Opens `cells/<id>/examples.safetensors`; needs no LibTorch.
 *
 * @throws `BAD_CHECKPOINT` where the file is missing or does not hold what `ExampleTensors` says.
 */
export async function openExamples(studyFolder: string, cellId: string): Promise<Examples> {
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(cellId)) {
    throw new TransferLimitsError(
      "BAD_CHECKPOINT",
      `The cell's id ${JSON.stringify(cellId)} is no name of a folder`,
    );
  }
  const path = studyPaths(studyFolder).examples(cellId);
  const file = await readSafetensors(path);
  await refuseDamaged(path);
  const refuse = (reason: string) => new TransferLimitsError("BAD_CHECKPOINT", `${path}: ${reason}`);
  const metadata = metadataSchema.safeParse(file.metadata);
  if (!metadata.success) throw refuse(`unexpected metadata: ${z.prettifyError(metadata.error)}`);
  const { kind, cases, slices, spacing, spacings } = metadata.data;
  const [height, width] = sizeOf(file, cases.length, refuse);
  if (slices.length !== cases.length) throw refuse(`${cases.length} cases but ${slices.length} slices`);
  if (spacings && spacings.length !== cases.length)
    throw refuse(`${cases.length} cases but ${spacings.length} spacings`);
  return {
    kind,
    cases,
    read: async (id) => {
      const index = cases.indexOf(id);
      if (index < 0) throw refuse(`it has no slice of case ${JSON.stringify(id)}`);
      const [input, target, prediction] = await Promise.all(
        names.map((name) => row(file, name, index, height * width)),
      );
      const [down, across] = spacings?.[index] ?? spacing;
      return {
        case: id,
        slice: slices[index] as number,
        width,
        height,
        spacing: { height: down as number, width: across as number },
        input: input as Float32Array,
        target: target as Float32Array,
        prediction: prediction as Float32Array,
      };
    },
  };
}

function sizeOf(file: SafetensorsFile, cases: number, refuse: (reason: string) => Error): [number, number] {
  const shapes = names.map((name) => file.shape(name));
  const [first] = shapes as [number[]];
  for (const [index, shape] of shapes.entries()) {
    if (file.dtype(names[index] as string) !== "float32") throw refuse(`${names[index]} is not float32`);
    if (shape.length !== 3 || shape.some((size, axis) => size !== first[axis])) {
      throw refuse(
        `expected [cases, H, W], the same for all three, but ${names[index]} is [${shape.join(", ")}]`,
      );
    }
  }
  const [rows, height, width] = first as [number, number, number];
  if (rows !== cases) throw refuse(`${rows} slices but ${cases} cases`);
  if (!(height > 0 && width > 0 && height <= largestSide && width <= largestSide)) {
    throw refuse(`slices of ${height} x ${width} pixels`);
  }
  return [height, width];
}

async function row(
  file: SafetensorsFile,
  name: string,
  index: number,
  pixels: number,
): Promise<Float32Array> {
  const bytes = await file.bytes(name, index * pixels * 4, pixels * 4);
  return Float32Array.from({ length: pixels }, (_, pixel) => bytes.readFloatLE(pixel * 4));
}
