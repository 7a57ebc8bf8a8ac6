// A training step of the published encoder with its decoder at the paper's size: what Nsight Compute looks at.
import { Network, Tensor, Trainer } from "./surface.mjs";

const device = "cuda:0";
const network = await Network.create({
  encoder: "profound-tiny",
  device,
  head: { kind: "upernet", outputs: 1, hidden: 512, auxiliary: 256 },
});
const size = [96, 200, 200];
const input = await Tensor.normal([1, 3, ...size], 1, device);
const target = await Tensor.normal([1, 1, ...size], 2, device);
const trainer = await Trainer.create(network, { loss: { kind: "l1" }, precision: "bfloat16" });
await trainer.step(input, target, { learningRate: 1e-5, seed: 0 });
