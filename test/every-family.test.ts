import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { architectureOf, encoderArchitectures } from "../dist/models/architectures/index.js";
import { multiplyAddsOf } from "../dist/models/architectures/work.js";
import { Network } from "../dist/models/network.js";
import type { EncoderSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { Tensor } from "../dist/native/tensor.js";
import { batchNormOf } from "../dist/study/plan/micro-batch.js";
import { stateOf, writeForeign } from "./foreign-weights.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A preset of each family that two CPU cores build in no time. */
const small = Object.values(encoderArchitectures).flatMap(({ presets }) =>
  Object.entries(presets as Record<string, EncoderSpec>).filter(([name]) => name.includes("demo")),
);
const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** The encoder's parameters in a network with a head. */
async function encoderParameters(encoder: EncoderSpec) {
  const { names } = architectureOf(encoder);
  using network = await Network.create({ encoder, head: { kind: "classifier", classes: 2, bottleneck: 2 } });
  return network.parameters.filter(({ name }) => names.encoder.some((prefix) => name.startsWith(prefix)));
}

beforeAll(() => setThreads(1));
afterEach(() => expect(Tensor.live).toBe(0));

it("every family has a preset for two CPU cores, but what comes from a file", () => {
  const without = Object.values(encoderArchitectures)
    .filter(({ family }) => !small.some(([, encoder]) => encoder.family === family))
    .map(({ family }) => family);
  expect(without).toEqual(["torchscript"]);
});

it("every family's key maps stand in the table of docs/checkpoints.md", async () => {
  const page = await readFile(new URL("../docs/checkpoints.md", import.meta.url), "utf8");
  for (const { keyMaps } of Object.values(encoderArchitectures))
    for (const { name, title } of keyMaps) expect(page).toContain(`| \`${name}\` | ${title} |`);
});

describe.each(small)("what the architecture's file says of %s", (_, encoder) => {
  const architecture = architectureOf(encoder);

  it("names every block and norm of the network", async () => {
    const parameters = await encoderParameters(encoder);
    const { block, norm } = architecture.names;
    const blocks = new Set(parameters.flatMap(({ name }) => block.exec(name)?.[0] ?? []));
    expect(blocks.size).toBe(architecture.blocks(encoder));
    const norms = parameters.filter(({ name, buffer }) => norm.test(name) && !buffer);
    expect(norms.length).toBeGreaterThan(0);
    expect(norms.every(({ shape }) => shape.length === 1)).toBe(true);
  });

  it("gives the features of its maps", async () => {
    using network = await Network.create({ encoder });
    using input = Tensor.from(new Float32Array(product([encoder.channels, 16, 64, 64])), [
      1,
      encoder.channels,
      16,
      64,
      64,
    ]);
    using features = await network.embed(input);
    // Maps that go slice by slice are [N, D, features, h, w].
    const axis = architecture.slices ? 2 : 1;
    expect(architecture.widths(encoder)).toEqual(features.stages.map(({ shape }) => shape[axis]));
    expect(features.pooled.shape[1]).toBe(architecture.widths(encoder).at(-1));
  });

  it("counts its weights, norms and biases apart", async () => {
    const weights = (await encoderParameters(encoder)).filter(
      ({ shape, buffer }) => shape.length > 1 && !buffer,
    );
    const count = weights.reduce((sum, { shape }) => sum + product(shape), 0);
    expect(architecture.parameters(encoder) / count).toBeGreaterThan(0.9);
    expect(architecture.parameters(encoder) / count).toBeLessThan(1.1);
  });

  it("knows whether batch norm is trained with it", async () => {
    const buffers = (await encoderParameters(encoder)).filter(({ name }) => name.endsWith("running_mean"));
    expect(batchNormOf({ encoder }, "everything") !== null).toBe(buffers.length > 0);
  });

  it("tells it from the shapes of its tensors", async () => {
    const shapes = new Map((await encoderParameters(encoder)).map(({ name, shape }) => [name, shape]));
    const guess = architecture.guess(shapes);
    expect(guess).not.toBeNull();
    const told = Object.fromEntries(
      Object.entries(guess?.encoder ?? {}).filter(([field]) => !guess?.assumed.includes(field)),
    );
    expect(encoder).toMatchObject(told);
    for (const other of Object.values(encoderArchitectures)) {
      if (other.family !== encoder.family)
        expect([other.family, other.guess(shapes)]).toEqual([other.family, null]);
    }
  });

  it("reads what this program writes of it, alone and with a head, by a key map of its family", async () => {
    const path = join(await temporaryFolder(), "weights.pth");
    const head = { kind: "unetr", outputs: 1, featureSize: 2 } as const;
    for (const options of [{ encoder }, { encoder, head }]) {
      using source = await Network.create({ ...options, seed: 1 });
      const state = await stateOf(source);
      await writeForeign(path, state, (name, { shape, values }) => [name, shape, values]);
      using target = await Network.create({ encoder, seed: 2 });
      const { report } = await target.loadCheckpoint(path);
      expect(report.coverage).toMatchObject({ encoder: 1, encoderTensors: 1 });
      expect(report.refusal).toBeNull();
      const after = await stateOf(target);
      for (const [name, tensor] of after)
        expect([name, tensor]).toEqual([name, state.get(name) ?? state.get(`encoder.${name}`)]);
    }
  });

  it("carries every decoder that it says it takes, at the size of the volume", async () => {
    for (const kind of architecture.decoders) {
      using network = await Network.create({ encoder, head: { kind, outputs: 1 } as never });
      using input = Tensor.from(new Float32Array(product([encoder.channels, 6, 34, 38])), [
        1,
        encoder.channels,
        6,
        34,
        38,
      ]);
      using answer = await network.forward(input);
      expect(answer.shape).toEqual([1, 1, 6, 34, 38]);
    }
  });

  it("costs more the more voxels it sees, and is kept in memory in proportion", () => {
    const at = (edge: number) => multiplyAddsOf(architecture.work(encoder, [edge, edge, edge]));
    // Attention and the axis tokens of a slice do not grow with it.
    expect(at(128) / at(64)).toBeGreaterThan(architecture.slices ? 7 : 7.9);
    const { kept, recomputed } = architecture.size(encoder, 2 ** 18);
    expect(kept).toBeGreaterThan(recomputed);
  });
});
