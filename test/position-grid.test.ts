import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { inspectWeights } from "../dist/cli/inspect-weights.js";
import { resizedPositions } from "../dist/models/checkpoints/position-grid.js";
import { Network } from "../dist/models/network.js";
import type { DinoVitSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { stateOf, writeForeign } from "./foreign-weights.js";
import { relativeError } from "./parity-inputs.js";
import { temporaryFolder } from "./temporary-folder.js";

const oracle: { from: number; to: number; values: number[] }[] = JSON.parse(
  readFileSync(new URL("oracles/position_grid.json", import.meta.url), "utf8"),
);
/** The series that the oracle resized. */
const grid = (edge: number) =>
  Float32Array.from({ length: edge * edge }, (_, at) => Math.sin(at * at * 0.7 + at));

/**
 * The same series by PyTorch 2.15.0 on a CPU, up and down, as DINOv2 with registers resizes its embedding (its hub builds
 * these models with interpolate_antialias=True and interpolate_offset=0.0) and as timm's resample_abs_pos_embed does:
 *
 *   python3 -c 'import math, torch; f = torch.nn.functional.interpolate
 *   g = lambda n: torch.tensor([math.sin(i * i * 0.7 + i) for i in range(n * n)]).reshape(1, 1, n, n)
 *   for n, to in ((3, 5), (5, 3)): print(f(g(n), size=(to, to), mode="bicubic", antialias=True).flatten().tolist())'
 */
const byTorch = [
  {
    from: 3,
    to: 5,
    values: [
      -0.0878222, 0.4475344, 1.029798, -0.2639758, -1.1903809, -0.0013523, 0.4155152, 0.8560737, -0.225639,
      -0.9948873, 0.0971379, 0.2949979, 0.4863987, -0.129491, -0.5606517, -0.0861087, -0.1236207, -0.1398465,
      0.0930375, 0.2496257, -0.2191611, -0.3879128, -0.5134839, 0.2298468, 0.7381216,
    ],
  },
  {
    from: 5,
    to: 3,
    values: [
      0.0679232, -0.250061, 0.3535325, -0.0778618, -0.1497449, 0.1762054, -0.1171645, -0.023456, 0.0240924,
    ],
  },
];
/**
 * Of the grid of 5 x 5 by DINOv2 without registers, which never antialiases and adds an offset of 0.1 to the size, for
 * the sake of weights that were trained so: f(g(5), scale_factor=(3.1 / 5,) * 2, mode="bicubic").
 */
const withoutRegisters = [
  0.1563214, -0.8080276, 0.468729, -0.406168, -0.1842274, -0.0849704, -0.1309489, -0.0042562, 0.0526485,
];

const encoder: DinoVitSpec = {
  family: "dino-vit",
  channels: 3,
  patch: 14,
  embedDim: 12,
  depth: 2,
  heads: 3,
  registers: 4,
  axisTokens: 0,
};

let path: string;
beforeEach(async () => {
  path = join(await temporaryFolder(), "weights.pth");
});
afterEach(() => expect(Tensor.live).toBe(0));

describe("a position embedding for another grid of patches", () => {
  it.each([...oracle, ...byTorch])(
    "of $from x $from is resized to $to x $to as Pillow and PyTorch do",
    ({ from, to, values }) => {
      const given = grid(from);
      // Two features that differ by their sign, after the token of the class, which stays.
      const embedding = Float32Array.from([7, 8, ...[...given].flatMap((value) => [value, -value])]);
      const got = resizedPositions(embedding, { from, to }, 2);
      expect([...got.slice(0, 2)]).toEqual([7, 8]);
      const first = got.slice(2).filter((_, at) => at % 2 === 0);
      expect(relativeError(first, values)).toBeLessThan(1e-6);
      expect([...got.slice(2).filter((_, at) => at % 2 === 1)]).toEqual([...first].map((value) => -value));
    },
  );

  it("is resized by the convention of DINOv2 with registers, not by that without", () => {
    const embedding = Float32Array.from([7, ...grid(5)]);
    const got = resizedPositions(embedding, { from: 5, to: 3 }, 1).slice(1);
    expect(relativeError(got, withoutRegisters)).toBeGreaterThan(0.5);
  });

  it.each([
    ["dinov2-registers", (name: string) => name.replace(/^backbone\./, ""), 16],
    ["dino-vit", (name: string) => name, 16],
    ["dinov2-registers", (name: string) => `teacher.${name}`, 40],
  ])("is taken by %s, as the load report says, and fits by inspect", async (keyMap, rename, edge) => {
    using source = await Network.create({ encoder, seed: 1 });
    const tokens = 1 + edge * edge;
    const given = Array.from({ length: tokens * 12 }, (_, at) => Math.fround(Math.sin(at * 0.37)));
    await writeForeign(path, await stateOf(source), (name, { shape, values }) =>
      name === "backbone.pos_embed" ? [rename(name), [1, tokens, 12], given] : [rename(name), shape, values],
    );
    using network = await Network.create({ encoder, seed: 2 });
    const { missing, report } = await network.loadCheckpoint(path, { keyMap });
    expect([missing, report.misfits]).toEqual([[], []]);
    const change = `position embedding resized from ${edge} x ${edge} to 37 x 37 patches`;
    expect(report.loaded.find(({ name }) => name === "backbone.pos_embed")).toMatchObject({
      shape: [1, 1370, 12],
      storedShape: [1, tokens, 12],
      change,
    });
    expect(report.warnings.join(" ")).toContain(change);
    const wanted = resizedPositions(Float32Array.from(given), { from: edge, to: 37 }, 12);
    expect((await stateOf(network)).get("backbone.pos_embed")?.values).toEqual([...wanted]);
    expect((await inspectWeights(path)).keyMaps[0]).toMatchObject({ coverage: 1, misfits: [], missing: [] });
  });

  it("is refused where its tokens make no square, with both shapes", async () => {
    using source = await Network.create({ encoder, seed: 1 });
    await writeForeign(path, await stateOf(source), (name, { shape, values }) =>
      name === "backbone.pos_embed" ? [name, [1, 200, 12], values.slice(0, 2400)] : [name, shape, values],
    );
    using network = await Network.create({ encoder, seed: 2 });
    await expect(network.loadCheckpoint(path)).rejects.toThrow(
      /expected shape \[1, 1370, 12\] for backbone\.pos_embed but received float32 \[1, 200, 12\]/,
    );
  });
});
