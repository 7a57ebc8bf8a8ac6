import { describe, expect, it } from "vitest";
import { measureDistance } from "../dist/alignment/distances.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { randomStream } from "../dist/common/random.js";
import { Tensor } from "../dist/native/tensor.js";

const [n, d] = [40, 8];

/** Normal features of n cases about a centre, `gap` along every feature such that the centres lie `gap` apart. */
function cloud(name: string, spread: number, gap = 0) {
  const stream = randomStream(2, "flags", name);
  const offset = gap / Math.sqrt(d);
  const data = Float64Array.from({ length: n * d }, () => offset + spread * stream.normal());
  return { data, shape: [n, d] };
}
const point = (value: number) => ({ data: new Float64Array(n * d).fill(value), shape: [n, d] });
type Rows = ReturnType<typeof cloud>;

async function measure(a: Rows, b: Rows, sigma = 1) {
  using x = Tensor.from(a.data, a.shape);
  using y = Tensor.from(b.data, b.shape);
  return await measureDistance(
    { name: "D2R", task: "lesion-segmentation", strategy: "direct", model: "profound", seed: 1 },
    x,
    y,
    { sigma },
  );
}

describe("a flag says that MMD² is no distance", () => {
  it("of the ceiling, where tight sets lie 6 to 1,131 apart and all have the same MMD²", async () => {
    const tight = 0.08;
    const values: number[] = [];
    for (const gap of [6, 20, 100, 1131]) {
      const got = await mmd2(cloud("a", tight), cloud("b", tight, gap), { sigma: 1 });
      expect(got).toMatchObject({ flags: ["ceiling"], saturated: true });
      expect(got.kernelMeans.withinA as number).toBeGreaterThan(0.5);
      values.push(got.biased);
    }
    expect(Math.min(...values)).toBeGreaterThan(1.75);
    expect(Math.max(...values) - Math.min(...values)).toBeLessThan(1e-12);
    const near = await mmd2(cloud("a", tight), cloud("b", tight, 0.5), { sigma: 1 });
    expect(near).toMatchObject({ flags: [], saturated: false });
  });

  it("of the ceiling at every bandwidth, where the sets lie far beyond the features' own scale", async () => {
    for (const gap of [30, 300]) {
      const { medianHeuristic, multiBandwidth, paper, warning, withoutKernel } = await measure(
        cloud("a", 0.08, gap),
        cloud("b", 0.08),
      );
      expect(paper.flags).toEqual(["ceiling"]);
      expect(medianHeuristic.flags).toEqual(["ceiling"]);
      expect(multiBandwidth.flags).toEqual(["ceiling"]);
      expect(warning).toMatch(/at its ceiling: with sigma = 1 and 0\.\d+ .*however far apart they lie/);
      expect(warning).toContain(
        "Read what has no bandwidth: linear CKA, the Procrustes distance, the shift of the mean.",
      );
      // What has no bandwidth goes on growing.
      expect((withoutKernel.meanShift as number) / gap).toBeCloseTo(1 / (0.08 * Math.sqrt(d)), -0.5);
    }
  });

  it("of nothing, where the median over both sets made a constant of every gap and the scale of one does not", async () => {
    // With sigma the gap itself, MMD² of two sets that lie apart is 2 (1 - 1/e) = 1.264 whatever the gap is.
    const pooled = async (gap: number) => {
      const got = await mmd2(cloud("a", 1e-3), cloud("b", 1e-3, gap), { sigma: gap });
      return got.biased;
    };
    expect(await pooled(6)).toBeCloseTo(2 * (1 - 1 / Math.E), 3);
    expect(await pooled(600)).toBeCloseTo(2 * (1 - 1 / Math.E), 3);
    const own = async (gap: number) => (await measure(cloud("a", 1, gap), cloud("b", 1))).medianHeuristic;
    const [near, far] = [await own(1), await own(3)];
    expect(far.biased).toBeGreaterThan(2 * near.biased);
    expect(near.sigma).toBe(far.sigma);
    expect([near.flags, far.flags]).toEqual([[], []]);
  });

  it("of one collapsed side, whatever the other does", async () => {
    for (const spread of [0.02, 1, 50]) {
      const collapsed = await measure(point(0.3), cloud("b", spread, 1));
      expect(collapsed.paper.flags).toContain("collapsed-a");
      expect(collapsed.medianHeuristic.flags).toContain("collapsed-a");
      expect(collapsed.multiBandwidth.flags).toContain("collapsed-a");
      expect(collapsed.warning).toContain("features of the fine-tuned encoder are collapsed");
      const reference = await measure(cloud("b", spread, 1), point(0.3));
      expect(reference.paper.flags).toContain("collapsed-b");
      expect(reference.warning).toContain("features of the reference are collapsed");
      expect(reference.warning).toContain("median distance is 0: sigma of the study stands in its place");
    }
  });

  it("of collapsed features that differ by the rounding of float32 alone", async () => {
    const stream = randomStream(1, "rounding");
    const data = Float32Array.from({ length: n * d }, () => 0.7 * (1 + 1e-7 * stream.normal()));
    using x = Tensor.from(data, [n, d]);
    using y = Tensor.from(Float32Array.from(cloud("b", 1).data), [n, d]);
    const of = { name: "D2P", task: "lesion-segmentation", strategy: "direct", model: "m", seed: 1 } as const;
    expect((await measureDistance(of, x, y, { sigma: 1e-9 })).paper.flags).toContain("collapsed-a");
    expect((await measureDistance(of, x, y, { sigma: 1e6 })).medianHeuristic.flags).toEqual(["collapsed-a"]);
  });

  it("of two collapsed sides, which no sigma mends", async () => {
    for (const sigma of [1e-3, 1, 1e6]) {
      const { paper } = await measure(point(0.3), point(0.5), sigma);
      expect(paper.flags).toEqual(expect.arrayContaining(["collapsed-a", "collapsed-b"]));
      expect(paper.flags).not.toContain("sigma-too-large");
    }
  });

  it("of a sigma that is too small or too large, with the scale that fits", async () => {
    const [a, b] = [cloud("a", 1), cloud("b", 1, 0.5)];
    const small = await measure(a, b, 0.02);
    expect(small.paper).toMatchObject({ flags: ["sigma-too-small"], saturated: true });
    expect(small.medianHeuristic.flags).toEqual([]);
    expect(small.warning).toMatch(
      /saturated: with sigma = 0.02 .* MMD² at the features’ own scale \(sigma = \d/,
    );
    const large = await measure(a, b, 1e4);
    expect(large.paper).toMatchObject({ flags: ["sigma-too-large"], saturated: true });
    expect(large.warning).toContain("near 1, and MMD² is near 0");
    // Rows of one case alone may be near each other: that is no distance between the sets.
    const moved = { ...a, data: a.data.map((value) => value + 1e-4) };
    for (const paired of [false, true])
      expect((await mmd2(a, moved, { sigma: 0.02, paired })).flags).toEqual(["sigma-too-small"]);
  });

  it("of sets that are the same, which is a distance of 0 and no fault", async () => {
    const a = cloud("a", 1);
    const { paper, medianHeuristic, warning } = await measure(a, a, 3);
    expect(paper).toMatchObject({ flags: ["identical"], saturated: false });
    expect(medianHeuristic.flags).toEqual(["identical"]);
    expect(warning).toContain("same features for every test case");
    expect((await mmd2(a, a, { sigma: 3 })).flags).toEqual(["identical"]);
  });
});
