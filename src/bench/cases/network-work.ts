import type { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { Trainer } from "../../native/trainer.js";
import type { PeerWish, Work } from "../alternate.js";
import type { Floor } from "../case.js";
import { filled, parameter } from "../hash-fill.js";
import { sample } from "../timing.js";
import { disposeAll } from "./kernels.js";

export const learningRate = 1e-4;

/** A network's input, what it should answer, and the slices' positions where it takes slices. */
export interface Material {
  input: Tensor;
  target: Tensor;
  position?: Tensor;
}

export const material = (
  work: string,
  shape: readonly number[],
  answer: readonly number[],
  device: string,
): Material => ({
  input: Tensor.from(filled(`bench.${work}.input`, shape, 2), shape, device),
  target: Tensor.from(filled(`bench.${work}.target`, answer), answer, device),
});

/** Gives every parameter the value that follows from its name: the peers' are the same. */
export async function fill(network: PlacedNetwork, device: string): Promise<void> {
  for (const { name, shape, dtype } of network.parameters) {
    if (dtype !== "float32" || name.includes("running_")) continue;
    using values = Tensor.from(parameter(name, shape), shape, device);
    await network.assign({ [name]: values });
  }
}

export async function forwardWork(
  network: PlacedNetwork,
  { input, target, position }: Material,
): Promise<Work> {
  let output: Tensor | null = null;
  return {
    run: async () => {
      output?.dispose();
      output = await network.forward(input, position ? { position } : {});
    },
    answer: async () => sample(output ? await output.toArray() : []),
    [Symbol.dispose]: () => {
      network.dispose();
      disposeAll([input, target, ...(position ? [position] : []), ...(output ? [output] : [])]);
    },
  };
}

export async function stepWork(network: PlacedNetwork, { input, target }: Material): Promise<Work> {
  const trainer = await Trainer.create(network, { loss: { kind: "l1" }, weightDecay: 0.01, gradientClip: 1 });
  let last: number[] = [];
  return {
    run: async () => {
      const { loss, gradientNorm } = await trainer.step(input, target, { learningRate, seed: 0 });
      last = [loss, gradientNorm];
    },
    answer: async () => last,
    [Symbol.dispose]: () => {
      trainer.dispose();
      network.dispose();
      disposeAll([input, target]);
    },
  };
}

/** Eager and compiled, channels-last and contiguous: of each mode the faster layout counts. */
export const torchPeers = (eager?: number, compiled?: number): PeerWish[] =>
  (
    [
      ["PyTorch eager", eager],
      ["torch.compile", compiled],
    ] as const
  ).flatMap(([mode, atLeast]) =>
    ["channels-last", "contiguous"].map((layout) => ({
      peer: `${mode}, ${layout}`,
      group: mode,
      ...(atLeast !== undefined && { atLeast }),
    })),
  );

/** A step goes forward and back twice (input and weight), and reads and writes the weights and both moments. */
export const stepFloor = ({ operations, bytes }: Floor): Floor => ({
  operations: 3 * operations,
  bytes: 8 * bytes,
});
