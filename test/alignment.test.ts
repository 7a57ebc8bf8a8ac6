import { describe, expect, it } from "vitest";
import { measureDistance } from "../dist/alignment/distances.js";
import { mmd2 } from "../dist/alignment/mmd.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";

const features = (name: string, n: number, d: number, scale = 1, offset = 0) =>
  Tensor.from(
    hashFill(name, n * d).map((value) => offset + scale * value),
    [n, d],
  );
const measure = (a: Tensor, b: Tensor, sigma = 1, signal?: AbortSignal) =>
  measureDistance(
    { name: "D2P", task: "lesion-segmentation", strategy: "direct", model: "profound", seed: 3 },
    a,
    b,
    signal ? { sigma, signal } : { sigma },
  );

/** The median over all pairs of rows, the plain way. */
async function medianOf(...sets: Tensor[]): Promise<number> {
  const rows: number[][] = [];
  for (const set of sets) {
    const values = Array.from((await set.toArray()) as Float64Array);
    const d = set.shape[1] as number;
    for (let i = 0; i < values.length; i += d) rows.push(values.slice(i, i + d));
  }
  const distances = rows
    .flatMap((u, i) => rows.slice(i + 1).map((v) => Math.hypot(...u.map((x, k) => x - (v[k] as number)))))
    .sort((x, y) => x - y);
  const middle = distances.length / 2;
  return ((distances[Math.ceil(middle) - 1] as number) + (distances[Math.floor(middle)] as number)) / 2;
}

describe("a distance between two encoders", () => {
  it("is the paper's MMD² at the study's sigma, with the median heuristic and five bandwidths beside it", async () => {
    using a = features("fine-tuned", 24, 6, 0.4);
    using b = features("pretrained", 24, 6, 0.4, 0.1);
    const distance = await measure(a, b, 0.8);
    expect(distance).toMatchObject({
      task: "lesion-segmentation",
      model: "profound",
      seed: 3,
      name: "D2P",
      rows: 24,
      features: 6,
      warning: null,
    });
    expect(distance.paper).toEqual({ sigma: 0.8, ...(await mmd2(a, b, { sigma: 0.8, paired: true })) });
    const median = await medianOf(b);
    expect(distance.medianHeuristic.sigma).toBeCloseTo(median, 12);
    expect(distance.medianHeuristic.biased).toBeCloseTo((await mmd2(a, b, { sigma: median })).biased, 12);
    let [biased, unbiased] = [0, 0];
    for (const factor of [1 / 4, 1 / 2, 1, 2, 4]) {
      const one = await mmd2(a, b, { sigma: factor * median, paired: true });
      biased += one.biased;
      unbiased += one.unbiased as number;
    }
    expect(distance.multiBandwidth.biased).toBeCloseTo(biased, 12);
    expect(distance.multiBandwidth.unbiased).toBeCloseTo(unbiased, 12);
  });

  it("of unnormalised features saturates at sigma 1, which is said with numbers; the median heuristic does not", async () => {
    using a = features("wide a", 20, 768, 3);
    using b = features("wide b", 20, 768, 3, 0.2);
    const { paper, medianHeuristic, warning } = await measure(a, b);
    expect(paper.biased).toBeCloseTo(2 / 20, 14);
    expect(paper.saturated).toBe(true);
    expect(medianHeuristic.saturated).toBe(false);
    expect(warning).toContain("saturated");
    expect(warning).toContain("sigma = 1 ");
    expect(warning).toContain("2/N = 0.1 ");
    expect(warning).toContain("own scale");
  });

  it("of features that hardly differ saturates at the other end", async () => {
    using a = features("narrow a", 20, 8, 1e-3);
    using b = features("narrow b", 20, 8, 1e-3);
    const { paper, medianHeuristic, warning } = await measure(a, b);
    expect(paper.offDiagonalMean).toBeGreaterThan(0.999);
    expect(paper.saturated).toBe(true);
    expect(medianHeuristic.saturated).toBe(false);
    expect(warning).toContain("near 1, and MMD² is near 0");
  });

  it("of an encoder that did not move is 0, and says so", async () => {
    using a = features("frozen", 12, 8, 2);
    const { paper, medianHeuristic, warning } = await measure(a, a);
    expect(paper.biased).toBeLessThan(1e-15);
    expect(medianHeuristic.biased).toBeLessThan(1e-15);
    expect(warning).toContain("same features for every test case");
    expect(warning).toContain("frozen");
  });

  it("of one test case is computed, with what it is worth, even where both rows are equal", async () => {
    using a = features("single", 1, 8);
    using b = features("single other", 1, 8);
    const apart = await measure(a, b);
    expect(apart.paper.unbiased).toBeNull();
    expect(apart.multiBandwidth.unbiased).toBeNull();
    expect(apart.warning).toContain("only one test case");
    const same = await measure(a, a, 0.7);
    expect(same.paper.biased).toBe(0);
    expect(same.medianHeuristic.sigma).toBe(0.7);
    expect(same.warning).toContain("median distance is 0");
  });

  it("answers with numbers that JSON keeps", async () => {
    using a = features("json a", 5, 8, 100);
    using b = features("json b", 5, 8, 100);
    const distance = await measure(a, b);
    expect(JSON.parse(JSON.stringify(distance))).toEqual(distance);
  });

  it("refuses sets of other cases or features, and stops where it is told to", async () => {
    using a = features("a", 6, 8);
    using fewer = features("fewer", 5, 8);
    using narrower = features("narrower", 6, 7);
    for (const other of [fewer, narrower]) {
      const refused = measure(a, other);
      await expect(refused).rejects.toMatchObject({
        code: "BAD_INPUT",
        message: expect.stringContaining("[6, 8]"),
      });
      await expect(refused).rejects.toThrow("D2P (lesion-segmentation, profound, seed 3)");
    }
    await expect(measure(a, a, -1)).rejects.toThrow("a positive number for sigma but received -1");
    await expect(measure(a, a, 1, AbortSignal.abort())).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("leaves no tensor behind", async () => {
    using a = features("left a", 6, 8);
    using b = features("left b", 6, 8);
    const live = Tensor.live;
    await measure(a, b);
    expect(Tensor.live).toBe(live);
  });
});
