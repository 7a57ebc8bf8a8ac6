import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { readSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { type SliceViews, Trainer, type TrainerOptions } from "../dist/native/trainer.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";

const count = (shape: readonly number[]) => shape.reduce((product, size) => product * size, 1);

export const filled = (name: string, shape: readonly number[], scale = 1): Tensor =>
  Tensor.from(new Float32Array(hashFill(name, count(shape)).map((value) => scale * value)), shape);
export const maskOf = (name: string, shape: readonly number[]): Tensor =>
  Tensor.from(new Float32Array(hashFill(name, count(shape)).map((value) => (value > 0.4 ? 1 : 0))), shape);

/** A network whose every path matters: fresh ones have layers that start as 0 or as the identity. */
export async function lively(spec: NetworkSpec): Promise<PlacedNetwork> {
  const network = await PlacedNetwork.build(spec);
  for (const { name, shape, buffer } of network.parameters) {
    if (buffer) continue;
    const scale = shape.length > 1 && !name.includes("grn") ? Math.sqrt(3 / count(shape.slice(1))) : 0.3;
    const offset = /(weight|gamma)$/.test(name) && shape.length === 1 ? 1 : 0;
    using values = Tensor.from(
      new Float32Array(hashFill(name, count(shape)).map((value) => offset + scale * value)),
      shape,
    );
    await network.assign({ [name]: values });
  }
  return network;
}

export interface StepGradients {
  loss: number;
  gradientNorm: number;
  gradients: Record<string, Float32Array>;
}

/**
 * Loss and gradients of a step that changes nothing: Adam's first moment with a beta of 0 is the gradient itself.
 *
 * @param seen input and target, or views for a network with a teacher
 */
export async function gradientsOf(
  network: PlacedNetwork,
  options: TrainerOptions,
  seen: { input: Tensor; target: Tensor } | { views: SliceViews; teacher: PlacedNetwork },
): Promise<StepGradients> {
  const still = { ...options, betas: [0, 0.9] as [number, number] };
  using trainer = await Trainer.create(network, still, "teacher" in seen ? seen.teacher : undefined);
  const how = { learningRate: 0, seed: 7 };
  const reading =
    "views" in seen
      ? await trainer.distil(seen.views, { ...how, momentum: 1, teacherTemperature: 0.1 })
      : await trainer.step(seen.input, seen.target, how);
  const folder = await temporaryFolder();
  const path = join(folder, "moments.safetensors");
  await trainer.save(path);
  const file = await readSafetensors(path);
  const gradients: Record<string, Float32Array> = {};
  for (const name of file.names.filter((one) => one.startsWith("first."))) {
    using moment = await file.tensor(name);
    gradients[name.slice("first.".length)] = (await moment.toArray()) as Float32Array;
  }
  await rm(path);
  return { ...reading, gradients };
}

/** |a - b| / |b| over all gradients together. */
export function relativeDistance(a: Record<string, Float32Array>, b: Record<string, Float32Array>): number {
  let [difference, norm] = [0, 0];
  for (const [name, values] of Object.entries(b)) {
    values.forEach((value, index) => {
      difference += (((a[name] as Float32Array)[index] as number) - value) ** 2;
      norm += value ** 2;
    });
  }
  return Math.sqrt(difference / norm);
}
