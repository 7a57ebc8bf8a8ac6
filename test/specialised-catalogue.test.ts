import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { encoderNames, encoders, specialisedModels } from "../dist/models/catalogue.js";
import { parameterCount } from "../dist/models/parameters.js";
import {
  encoderOf,
  encoderSchema,
  type NetworkTask,
  specialisedOf,
  specialisedSchema,
} from "../dist/models/specification.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { setThreads } from "../dist/native/runtime.js";
import { forwardCost } from "../dist/study/plan/estimate.js";

setThreads(1);

type Name = keyof typeof specialisedModels;
const names = Object.keys(specialisedModels) as Name[];
const volumes: NetworkTask = { answers: "voxels", channels: 3, outputs: 1, depthScale: 1, timed: true };
const classes: NetworkTask = { ...volumes, answers: "classes", outputs: 4 };
const taskFor = (name: Name) => (specialisedModels[name].family === "resnet-3d" ? classes : volumes);

describe("the catalogue of encoders", () => {
  it.each(encoderNames)("is documented with its parameters and multiply-adds: %s", async (name) => {
    const page = await readFile(new URL("../docs/models.md", import.meta.url), "utf8");
    const row = page.split("\n").find((line) => line.startsWith(`| \`${name}\``)) ?? "";
    const [family, input, parameters, multiplications] = row.split("|").slice(2, 6);
    const [channels, ...extents] = (input ?? "").split("x").map(Number) as number[];
    const encoder = encoderOf(name);
    expect(family?.trim()).toBe(`\`${encoder.family}\``);
    expect(channels).toBe(encoder.channels);
    using network = await PlacedNetwork.build({ encoder });
    expect(Number(parameters)).toBe(Number((parameterCount(network) / 1e6).toPrecision(3)));
    const [depth, height, width] = extents as [number, number, number];
    const cost = forwardCost({ encoder }, [height, width, depth]);
    expect(Number(multiplications)).toBe(Number((cost / 1e9).toPrecision(3)));
  });

  it("has only specifications that a study may give", () => {
    for (const name of encoderNames)
      expect(encoderSchema.parse(structuredClone(encoders[name]))).toEqual(encoders[name]);
  });
});

describe("the catalogue of specialised models", () => {
  it.each(names)("has only specifications that a study may give: %s", (name) => {
    const { family: _, ...sizes } = specialisedModels[name];
    expect(specialisedSchema.parse(structuredClone(specialisedModels[name]))).toEqual(
      specialisedModels[name],
    );
    expect(specialisedOf(name, taskFor(name))).toMatchObject(sizes);
  });

  it("has the ResNet-50 of 3D medical imaging, with 46.2 million parameters", async () => {
    using network = await PlacedNetwork.build({ model: specialisedOf("resnet-50", classes) });
    expect(parameterCount(network) / 1e6).toBeCloseTo(46.2, 1);
  });

  it.each(names)("is documented with its parameters and multiply-adds: %s", async (name) => {
    const page = await readFile(new URL("../docs/models.md", import.meta.url), "utf8");
    const row = page.split("\n").findLast((line) => line.startsWith(`| \`${name}\``)) ?? "";
    const [input, parameters, multiplications] = row.split("|").slice(3, 6);
    const [channels, depth, height, width] = (input ?? "").split("x").map(Number) as number[];
    const depthScale = depth === 48 ? 2 : 1;
    const model = specialisedOf(name, { ...taskFor(name), channels: channels as number, depthScale });
    using network = await PlacedNetwork.build({ model });
    expect(Number(parameters)).toBe(Number((parameterCount(network) / 1e6).toPrecision(3)));
    const cost = forwardCost({ model }, [height, width, depth] as [number, number, number]);
    expect(Number(multiplications)).toBe(Number((cost / 1e9).toPrecision(3)));
  });

  it("completes a model by its task", () => {
    expect(specialisedOf("unet-3d-demo", { ...volumes, depthScale: 2 })).toEqual({
      family: "unet-3d",
      features: 8,
      levels: 3,
      channels: 3,
      outputs: 1,
      depthScale: 2,
    });
    expect(specialisedOf("resnet-demo", classes)).toMatchObject({ channels: 3, classes: 4 });
  });

  it.each([
    ["vit-3d", { ...volumes, depthScale: 2 }, /doubles the number of slices but received vit-3d/],
    [
      "ddpm-unet",
      { ...volumes, depthScale: 2 },
      /doubles the number of slices but received diffusion-unet-3d/,
    ],
    ["unet-3d", classes, /resnet-3d for a task that answers with classes but received unet-3d/],
    ["resnet-50", volumes, /answers with volumes \(unet-3d.*but received resnet-3d/],
  ] as const)("refuses %s for a task that it cannot answer: %o", (name, task, message) => {
    expect(() => specialisedOf(name, task)).toThrow(
      expect.objectContaining({ code: "BAD_CONFIG", message: expect.stringMatching(message) }),
    );
  });

  it.each([
    [{ family: "transunet-3d", features: 4, levels: 3, depth: 1, heads: 3 }, "heads"],
    [{ family: "vit-3d", patch: [4, 8, 8], embedDim: 10, depth: 1, heads: 3 }, "heads"],
    [{ family: "vit-3d", patch: [4, 8], embedDim: 8, depth: 1, heads: 2 }, "patch"],
    [{ family: "diffusion-unet-3d", features: 7, levels: 3 }, "features"],
  ])("refuses sizes that do not fit, naming the field: %o", (model, field) => {
    const { success, error } = specialisedSchema.safeParse(model);
    expect(success).toBe(false);
    expect(JSON.stringify(error?.issues)).toContain(`"${field}"`);
  });
});

const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe("the estimated multiplications of a specialised model", () => {
  const voxels = 64 ** 3;

  /** At how many positions a convolution or linear layer of this name works. */
  function positions(family: string, name: string, levels: number): number {
    const level = (index: number) => voxels / 8 ** index;
    const numbered = /^(?:down|up|enlarge|shrink)(\d+)\./.exec(name);
    // A transposed convolution takes each of its weights once for each position of its input.
    if (name.includes("transp_conv")) return level(Number(numbered?.[1]) + 1);
    if (/\.time\.|^time\d/.test(name)) return 1;
    if (numbered !== null) return level(Number(numbered[1]));
    if (/^(in|out)\./.test(name)) return voxels;
    if (family === "vit-3d") return voxels / 256;
    if (family !== "resnet-3d") return level(levels - 1);
    const stage = /^layer(\d)\.(\d+)\.(\w+)/.exec(name);
    if (stage === null) return name.startsWith("fc") ? 1 : level(1);
    const own = Number(stage[1]) + 1;
    return stage[1] !== "1" && stage[2] === "0" && stage[3] === "conv1" ? level(own - 1) : level(own);
  }

  it.each(["resnet-demo", "unet-3d-demo", "transunet-demo", "vit-demo", "ddpm-unet-demo"] as const)(
    "are those of its weights, and of its attention: %s",
    async (name) => {
      const model = specialisedOf(name, taskFor(name));
      const levels = "levels" in model ? model.levels : 0;
      using network = await PlacedNetwork.build({ model });
      let wanted = 0;
      for (const { name: weight, shape } of network.parameters)
        if (weight.endsWith("weight") && shape.length > 1)
          wanted += product(shape) * positions(model.family, weight, levels);
      if (model.family === "vit-3d") wanted += 2 * model.depth * (voxels / 256) ** 2 * model.embedDim;
      if (model.family === "transunet-3d")
        wanted += 2 * model.depth * (voxels / 8 ** (levels - 1)) ** 2 * (model.features * 2 ** (levels - 1));
      const estimate = forwardCost({ model }, [64, 64, 64]);
      expect(estimate / wanted).toBeGreaterThan(0.97);
      expect(estimate / wanted).toBeLessThan(1.03);
    },
  );
});
