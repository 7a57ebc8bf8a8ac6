import { describe, expect, it } from "vitest";
import { normalisedPair } from "../dist/alignment/normalised.js";
import { Tensor } from "../dist/native/tensor.js";

const rows = (values: number[]) => Tensor.from(Float32Array.from(values), [2, 3]);

async function normalised(how: Parameters<typeof normalisedPair>[2]) {
  using a = rows([3, 4, 7, 0, 0, 7]);
  using b = rows([1, 0, 7, 0, -4, 7]);
  const [x, y] = await normalisedPair(a, b, how);
  const values = [[...((await x.toArray()) as Float32Array)], [...((await y.toArray()) as Float32Array)]];
  x.dispose();
  y.dispose();
  return values as [number[], number[]];
}

const near = (got: number[], want: number[]) => {
  for (const [i, value] of want.entries()) expect(got[i]).toBeCloseTo(value, 6);
};

describe("features before they are compared", () => {
  it("are left as they are", async () => {
    expect(await normalised("none")).toEqual([
      [3, 4, 7, 0, 0, 7],
      [1, 0, 7, 0, -4, 7],
    ]);
  });

  it("are standardised over the cases of both encoders, and what never varies becomes 0", async () => {
    const [a, b] = await normalised("standardised");
    // First feature: 3, 0, 1, 0 of mean 1 and variance 6/4; second: 4, 0, 0, -4 of mean 0 and variance 8.
    const [first, second] = [Math.sqrt(1.5), Math.sqrt(8)];
    near(a, [2 / first, 4 / second, 0, -1 / first, 0, 0]);
    near(b, [0, 0, 0, -1 / first, -4 / second, 0]);
  });

  it("are brought to unit length, case by case", async () => {
    const [a, b] = await normalised("unit length");
    near(a, [3, 4, 7].map((value) => value / Math.sqrt(74)).concat([0, 0, 1]));
    near(
      b,
      [1, 0, 7].map((value) => value / Math.sqrt(50)).concat([0, -4 / Math.sqrt(65), 7 / Math.sqrt(65)]),
    );
  });

  it("of a case without length stay 0", async () => {
    using zero = rows([0, 0, 0, 1, 0, 0]);
    const [x, y] = await normalisedPair(zero, zero, "unit length");
    expect([...((await x.toArray()) as Float32Array)]).toEqual([0, 0, 0, 1, 0, 0]);
    x.dispose();
    y.dispose();
  });
});
