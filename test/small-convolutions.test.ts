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

  /** The most that a parameter's gradients are apart, as a share of their largest value. */
  async function farthest(depth: number, name: string): Promise<number> {
    using network = await lively(spec);
    const shape = [1, 1, depth, 32, 32];
    using input = filled(`input ${name}`, shape);
    using target = filled(`target ${name}`, shape);
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
    let most = 0;
    for (const [name, expected] of Object.entries(two.gradients)) {
      // A kernel of one value before an instance norm: scaling it changes nothing, and its gradient is rounding alone.
      if (name.endsWith("encoder1.layer.conv3.conv.weight")) continue;
      const largest = Math.max(...expected.map(Math.abs));
      const off = Math.max(
        ...(one.gradients[name] as Float32Array).map((value, i) => Math.abs(value - (expected[i] as number))),
      );
      most = Math.max(most, off / (largest + 1e-3));
      if (largest > 0) compared++;
    }
    expect(compared).toBeGreaterThan(40);
    return most;
  }

  // Depths of the stages' convolutions: even, odd, and down to 1. Gradients are sums of as many positive as negative terms: a
  // single voxel that rounding takes to the other side of a leaky ReLU changes them by a hundredth. One case of three may
  // have such a one.
  it.each([16, 24, 32])("at a depth of %i", async (depth) => {
    const cases = [];
    for (const name of ["a", "b", "c"]) cases.push(await farthest(depth, name));
    cases.sort((a, b) => a - b);
    expect(cases[1]).toBeLessThanOrEqual(1e-4);
    expect(cases[2]).toBeLessThanOrEqual(0.1);
  });
});
