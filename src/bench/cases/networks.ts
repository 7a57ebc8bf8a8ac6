import { productOf } from "../../common/numbers.js";
import { architectureOf } from "../../models/architectures/index.js";
import { encoders } from "../../models/catalogue.js";
import type { DinoVitSpec, EncoderSpec } from "../../native/network-spec.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { Tensor } from "../../native/tensor.js";
import { alternate, type Work } from "../alternate.js";
import type { BenchCase, BenchSettings, Floor } from "../case.js";
import {
  fill,
  forwardWork,
  learningRate,
  material,
  stepFloor,
  stepWork,
  torchPeers,
} from "./network-work.js";

type ConvNeXt = Extract<EncoderSpec, { family: "convnext-v2-3d" }>;

/** Multiplications and additions of a ConvNeXt's convolutions and linear layers, and what it must read and write. */
function convNeXtFloor({ channels, depths, dims }: ConvNeXt, shape: readonly number[]): Floor {
  const [samples = 1, , ...extent] = shape;
  let voxels = samples * productOf(extent.map((size) => size / 4));
  let operations = 2 * voxels * 64 * channels * dims[0];
  let parameters = 64 * channels * dims[0];
  for (const [stage, dim] of dims.entries()) {
    if (stage > 0) {
      const taps = stage === 3 ? 1 : 8;
      voxels /= taps;
      operations += 2 * voxels * taps * (dims[stage - 1] as number) * dim;
      parameters += taps * (dims[stage - 1] as number) * dim;
    }
    const each = 343 * dim + 8 * dim * dim;
    operations += 2 * voxels * each * (depths[stage] as number);
    parameters += each * (depths[stage] as number);
  }
  return { operations, bytes: 4 * (parameters + productOf(shape)) };
}

export const convNeXt: BenchCase[] = [false, true].map((train) => {
  const name = train ? "convnext-step" : "convnext-forward";
  return {
    name,
    summary: `ConvNeXt V2 Tiny at 1x3x64x96x96, ${train ? "training step" : "forward"}`,
    measure: (settings) => {
      const tiny = encoders["profound-tiny"];
      const spec: ConvNeXt = settings.quick
        ? { ...tiny, depths: [1, 1, 1, 1], dims: [8, 8, 16, 16] }
        : { ...tiny, depths: [...tiny.depths], dims: [...tiny.dims] };
      const shape = settings.quick ? [1, 3, 16, 32, 32] : [1, 3, 64, 96, 96];
      const floor = convNeXtFloor(spec, shape);
      return alternate(
        {
          name,
          title: `ConvNeXt V2-Tiny ${train ? "training step" : "forward"}, ${shape.join("x")}`,
          work: "convnext",
          options: { shape, depths: spec.depths, dims: spec.dims, train, learningRate },
          ours: () => networkWork("convnext", spec, shape, [1, spec.dims[3]], train, settings),
          peers: train ? torchPeers(3, 2.5) : torchPeers(1.5, 1),
          floor: train ? stepFloor(floor) : floor,
          inARow: true,
          tolerance: 1e-4,
        },
        settings,
      );
    },
  };
});

/** Of the linear layers, the patches' projection, and the products of queries, keys and values. */
function vitFloor(
  { channels, patch, embedDim, depth, registers }: DinoVitSpec,
  shape: readonly number[],
): Floor {
  const [slices = 1, , height = 1, width = 1] = shape;
  const patches = (height / patch) * (width / patch);
  const tokens = patches + 1 + registers + 2;
  const projection = patch * patch * channels * embedDim;
  const each = depth * 12 * embedDim * embedDim;
  return {
    operations:
      slices * (2 * tokens * each + 2 * patches * projection + 4 * depth * tokens * tokens * embedDim),
    bytes: 4 * (each + projection + productOf(shape)),
  };
}

export const vit: BenchCase[] = [false, true].map((train) => {
  const name = train ? "vit-step" : "vit-forward";
  return {
    name,
    summary: train
      ? "ViT-S/14 with registers on 4 slices of 224², training step (a volume)"
      : "ViT-S/14 with registers on 8 slices of 448², forward",
    measure: (settings) => {
      const small = encoders["provicnet-small"];
      const spec: DinoVitSpec = settings.quick
        ? { ...small, embedDim: 24, depth: 2, heads: 2 }
        : { ...small };
      const [slices, edge] = settings.quick ? [2, 28] : train ? [4, 224] : [8, 448];
      const shape = [slices, 3, edge, edge];
      const floor = vitFloor(spec, shape);
      const title = `ViT-S/14 ${train ? "training step" : "forward"}, ${slices} slices of ${edge}²`;
      return alternate(
        {
          name,
          title,
          work: "vit",
          options: { ...spec, shape, train, learningRate },
          // A step takes volumes, whose slices see their neighbours, and answers with one mean over all of them: the
          // peer's step takes slices. So the steps of the two aren't compared.
          ours: () =>
            train
              ? networkWork("vit", spec, [1, 1, slices, edge, edge], [1, spec.embedDim], true, settings)
              : networkWork("vit", spec, shape, [slices, spec.embedDim], false, settings),
          peers: train ? [] : torchPeers(1.1, 1),
          floor: train ? stepFloor(floor) : floor,
          inARow: true,
          tolerance: 1e-4,
        },
        settings,
      );
    },
  };
});

async function networkWork(
  work: string,
  encoder: EncoderSpec,
  shape: readonly number[],
  answer: readonly number[],
  train: boolean,
  { device }: BenchSettings,
): Promise<Work> {
  const network = await PlacedNetwork.build({ encoder }, { device });
  await fill(network, device);
  const made = material(work, shape, answer, device);
  if (train) return stepWork(network, made);
  if (!architectureOf(encoder).slices) return forwardWork(network, made);
  const slices = shape[0] as number;
  const positions = Float32Array.from({ length: 2 * slices }, (_, i) => (i % 2 === 0 ? i / 2 : slices));
  return forwardWork(network, { ...made, position: Tensor.from(positions, [slices, 2], device) });
}
