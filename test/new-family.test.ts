import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { z } from "zod";
import type { Shapes } from "../dist/models/architectures/architecture.js";
import { encoderArchitectures } from "../dist/models/architectures/index.js";
import { convolution, type Extents, volumeOf } from "../dist/models/architectures/work.js";

/** A family that is nowhere but here: one convolution a stage. */
interface PlainSpec {
  family: "plain-3d";
  channels: number;
  features: number;
}
const stages = [1, 2, 4, 8];
const weights = ({ channels, features }: PlainSpec) =>
  27 * features * (channels + 2 * features + 8 * features + 32 * features);
const plain = {
  family: "plain-3d",
  schema: z.strictObject({
    family: z.literal("plain-3d"),
    channels: z.int().min(1),
    features: z.int().min(1),
  }),
  presets: { "plain-demo": { family: "plain-3d", channels: 2, features: 4 } },
  slices: false,
  decoders: ["unetr"],
  pretraining: ["masked-autoencoder"],
  finetune: "full",
  batchNormStride: () => 32,
  names: { encoder: ["encoder."], block: /^encoder\.stage\d\./, norm: /\.norm\.(?:weight|bias)$/ },
  keyMaps: [
    {
      name: "plain-3d",
      title: "a plain network under our own names",
      family: "plain-3d",
      signs: [{ name: "^encoder\\.stage0\\.conv\\.weight$", axes: 5 }],
      rules: [],
    },
  ],
  blocks: () => 4,
  widths: ({ features }: PlainSpec) => stages.map((times) => times * features),
  parameters: weights,
  work: (spec: PlainSpec, extents: Extents) => [convolution(volumeOf(extents) / 64, 1, weights(spec), 1)],
  size: (spec: PlainSpec, voxels: number) => ({
    parameters: weights(spec),
    kept: spec.features * voxels,
    recomputed: 0,
    narrowed: 0,
    transient: spec.features * voxels,
  }),
  guess(shapes: Shapes) {
    const [features, channels] = shapes.get("encoder.stage0.conv.weight") ?? [];
    return features === undefined || channels === undefined
      ? null
      : { encoder: { family: "plain-3d", channels, features }, assumed: [] };
  },
};

// As a line in the list of families would, before anything else is made of that list.
Object.assign(encoderArchitectures, { [plain.family]: plain });
const { encoderNames } = await import("../dist/models/catalogue.js");
const { encoderSchema } = await import("../dist/models/specification.js");
const { keyMapNames, keyMaps } = await import("../dist/models/checkpoints/key-maps/index.js");
const { guessArchitecture } = await import("../dist/models/checkpoints/architecture.js");
const { laidOut } = await import("../dist/study/plan/load-study.js");
const { studySchema } = await import("../dist/study/config/schema.js");

const study = (model: object, tasks = ["pirads-classification", "lesion-segmentation"]) =>
  laidOut(
    {
      name: "of-a-new-family",
      cohort: { manifest: "promis.csv", voxels: [32, 32, 16] },
      models: [{ name: "new", ...model }],
      tasks,
      comparators: ["fine-tuned", "random-weights"],
    },
    "/nowhere",
  );
const planned = (model: object) => {
  const answer = study(model);
  if ("faults" in answer) throw new Error(JSON.stringify(answer.faults));
  return { study: answer.study, cells: answer.plan.cells };
};
const faultsOf = (model: object): string => {
  const answer = study(model);
  return "faults" in answer
    ? answer.faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n")
    : "";
};

it("is a preset and a specification that a study may name", () => {
  expect(encoderNames).toContain("plain-demo");
  expect(encoderSchema.parse("plain-demo")).toBe("plain-demo");
  const spec = { family: "plain-3d", channels: 2, features: 3 };
  expect(encoderSchema.parse(spec)).toEqual(spec);
  expect(encoderSchema.safeParse({ ...spec, features: 0 }).success).toBe(false);
});

it("stands among the values of the study's fields, from which the documentation's tables are made", () => {
  const text = JSON.stringify(z.toJSONSchema(studySchema, { io: "input", unrepresentable: "any" }));
  for (const word of ["plain-demo", "plain-3d"]) expect(text).toContain(`"${word}"`);
});

it("is told from a file's shapes by its own key map, which a model may name", () => {
  expect(keyMapNames).toContain("plain-3d");
  const shapes = new Map([
    ["encoder.stage0.conv.weight", [4, 2, 3, 3, 3]],
    ["encoder.stage3.conv.weight", [32, 16, 3, 3, 3]],
  ]);
  const file = {
    names: [...shapes.keys()],
    stored: (name: string) => ({ dtype: "float32", shape: shapes.get(name) as number[] }),
  };
  const keyMap = keyMaps.find(({ name }) => name === "plain-3d");
  expect(guessArchitecture(file as never, keyMap as never)).toEqual({
    encoder: { family: "plain-3d", channels: 2, features: 4 },
    assumed: [],
  });
});

it("is planned with the fine-tuning, the decoder, the pretraining and the costs that its file says", () => {
  const { study, cells } = planned({ encoder: "plain-demo", pretrain: { epochs: 1, batchSize: 2 } });
  const [model] = study.models;
  expect(model).toMatchObject({
    finetune: "full",
    decoder: { kind: "unetr" },
    pretrain: { method: "masked-autoencoder" },
  });
  const cell = cells.find(({ id }) => id === "new--lesion-segmentation--fine-tuned--seed1");
  expect(cell?.network).toMatchObject({ encoder: { family: "plain-3d" }, head: { kind: "unetr" } });
  expect(cell?.cost).toBeGreaterThan(0);
  const { cells: wider } = planned({
    encoder: { family: "plain-3d", channels: 2, features: 64 },
    pretrain: { epochs: 1, batchSize: 2 },
  });
  const same = wider.find(({ id }) => id === cell?.id);
  expect(same?.cost).toBeGreaterThan(cell?.cost ?? 0);
  expect(same?.memoryBytes).toBeGreaterThan(cell?.memoryBytes ?? 0);
});

it("is trained with as many cases a step as its batch norm needs, and in no parts of a batch", () => {
  const { cells } = planned({ encoder: "plain-demo", pretrain: { epochs: 1, batchSize: 2 } });
  const cell = cells.find(({ id }) => id === "new--lesion-segmentation--fine-tuned--seed1");
  expect(cell?.training?.batchSize).toBe(2);
  expect(
    faultsOf({
      encoder: "plain-demo",
      pretrain: { epochs: 1, batchSize: 2 },
      training: { batchSize: 4, microBatch: 2 },
    }),
  ).toMatch(/microBatch: .*plain-3d/);
});

it("refuses heads and pretraining that its file does not name, with those that it does", () => {
  expect(
    faultsOf({ encoder: "plain-demo", pretrain: { epochs: 1, batchSize: 2 }, decoder: { kind: "conv1" } }),
  ).toMatch(/decoder.*unetr.*"plain-3d"/);
  expect(
    faultsOf({ encoder: "plain-demo", pretrain: { epochs: 1, batchSize: 2, method: "self-distillation" } }),
  ).toMatch(/masked-autoencoder.*"plain-3d"/);
});

it("the ways to add one name every file that has to be touched", async () => {
  const page = await readFile(new URL("../docs/contributing.md", import.meta.url), "utf8");
  for (const name of [
    "src/models/architectures/index.ts",
    "scripts/models-docs.mjs",
    "test/encoder-families.test.ts",
  ])
    expect(page).toContain(name);
});
