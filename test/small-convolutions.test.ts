import { describe, expect, it } from "vitest";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { filled, gradientsOf, lively } from "./gradients.js";

/*
 * A single small sample takes a path of its own through the 3D convolutions, two of them take LibTorch's. The mean loss
 * over two copies of a case has the gradient of the loss of one.
 */
describe("the gradient of one small case is that of a batch of two copies of it", () => {
  const spec: NetworkSpec = {
    encoder: { family: "convnext-v2-3d", channels: 1, depths: [1, 1, 1, 1], dims: [4, 4, 8, 8] },
    head: { kind: "unetr", outputs: 1, featureSize: 4 },
  };

  // Depths of the stages' convolutions: even, odd, and down to 1.
  it.each([16, 24, 32])("at a depth of %i", async (depth) => {
    using network = await lively(spec);
    const shape = [1, 1, depth, 32, 32];
    using input = filled("input", shape);
    using target = filled("target", shape);
    const options = { loss: { kind: "l1" } } as const;
    const one = await gradientsOf(network, options, { input, target });
    const twice = async (tensor: Tensor) => {
      using row = await tensor.select(0, 0);
      return Tensor.gather([row], [0, 0]);
    };
    using inputs = await twice(input);
    using targets = await twice(target);
    const two = await gradientsOf(network, options, { input: inputs, target: targets });
    expect(one.loss).toBeCloseTo(two.loss, 5);
    let compared = 0;
    for (const [name, expected] of Object.entries(two.gradients)) {
      const largest = Math.max(...expected.map(Math.abs));
      const off = Math.max(
        ...(one.gradients[name] as Float32Array).map((value, i) => Math.abs(value - (expected[i] as number))),
      );
      expect(off, name).toBeLessThanOrEqual(1e-4 * largest + 1e-7);
      if (largest > 0) compared++;
    }
    expect(compared).toBeGreaterThan(40);
  });
});
