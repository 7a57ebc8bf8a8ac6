import { encoders, specialisedModels } from "../../models/catalogue.js";
import type { ModelSpec } from "../../native/network-spec.js";
import { PlacedNetwork } from "../../native/placed-network.js";
import { alternate, type PeerWish, type Work } from "../alternate.js";
import type { BenchCase, BenchSettings } from "../case.js";
import { fill, forwardWork, learningRate, material, stepWork, torchPeers } from "./network-work.js";

const whole = {
  "resnet-50": { ...specialisedModels["resnet-50"], channels: 1, classes: 4 },
  "unet-3d": { ...specialisedModels["unet-3d"], channels: 1, outputs: 1 },
  "transunet-3d": { ...specialisedModels["transunet-3d"], channels: 1, outputs: 1 },
  "vit-3d": { ...specialisedModels["vit-3d"], channels: 1, outputs: 1 },
  "ddpm-unet": { ...specialisedModels["ddpm-unet"], channels: 2, outputs: 1 },
} as const;

/** Of those the peers have the same network: the U-Net of MONAI's blocks, that of diffusion written in PyTorch. */
const withPeers: readonly string[] = ["unet-3d", "ddpm-unet"];
const peersOf = (name: string, train: boolean): PeerWish[] =>
  withPeers.includes(name) ? (train ? torchPeers(1.3, 1.3) : torchPeers()) : [];

/** The specialised models, at a size that takes about a second. */
export const specialised: BenchCase[] = (Object.keys(whole) as (keyof typeof whole)[]).flatMap((model) =>
  [false, true].map((train) => {
    const name = `${model}-${train ? "step" : "forward"}`;
    return {
      name,
      summary: `${model} at ${train ? "2" : "1"} x 32x64x64, ${train ? "training step" : "forward"}`,
      measure: (settings) => {
        const spec = whole[model] as unknown as ModelSpec;
        const samples = train && "classes" in spec ? 2 : 1;
        const extent = settings.quick ? [16, 32, 32] : [32, 64, 64];
        const shape = [samples, spec.channels, ...extent];
        return alternate(
          {
            name,
            title: `${model} ${train ? "training step" : "forward"}, ${shape.join("x")}`,
            work: model,
            options: { ...spec, shape, train, learningRate },
            ours: () => specialisedWork(model, spec, shape, train, settings),
            peers: peersOf(model, train),
            floor: null,
            inARow: true,
            tolerance: 1e-4,
          },
          settings,
        );
      },
    };
  }),
);

async function specialisedWork(
  name: string,
  model: ModelSpec,
  shape: readonly number[],
  train: boolean,
  { device }: BenchSettings,
): Promise<Work> {
  const network = await PlacedNetwork.build({ model }, { device });
  await fill(network, device);
  const [samples = 1, , ...extent] = shape;
  const answer = "classes" in model ? [samples, model.classes] : [samples, model.outputs, ...extent];
  const made = material(name, shape, answer, device);
  return train ? stepWork(network, made) : forwardWork(network, made);
}

/** UNETR's decoder, of MONAI's blocks, on the published encoder. */
export const unetr: BenchCase[] = [false, true].map((train) => {
  const name = train ? "unetr-step" : "unetr-forward";
  return {
    name,
    summary: `UNETR's decoder (16 features) on ConvNeXt V2 Tiny at 1x3x64x96x96, ${train ? "training step" : "forward"}`,
    measure: (settings) => {
      const { quick, device } = settings;
      const tiny = encoders["profound-tiny"];
      const encoder = quick
        ? { ...tiny, depths: [1, 1, 1, 1] as const, dims: [8, 8, 16, 16] as const }
        : tiny;
      const featureSize = quick ? 4 : 16;
      const shape = quick ? [1, 3, 16, 32, 32] : [1, 3, 64, 96, 96];
      return alternate(
        {
          name,
          title: `UNETR on ConvNeXt V2-Tiny ${train ? "training step" : "forward"}, ${shape.join("x")}`,
          work: "unetr",
          options: { shape, depths: encoder.depths, dims: encoder.dims, featureSize, train, learningRate },
          ours: async () => {
            const network = await PlacedNetwork.build(
              {
                encoder: { ...encoder, depths: [...encoder.depths], dims: [...encoder.dims] },
                head: { kind: "unetr", outputs: 1, featureSize },
              },
              { device },
            );
            await fill(network, device);
            const made = material("unetr", shape, [1, 1, ...shape.slice(2)], device);
            return train ? stepWork(network, made) : forwardWork(network, made);
          },
          peers: train ? torchPeers(1.3, 1.3) : torchPeers(),
          floor: null,
          inARow: true,
          tolerance: 1e-4,
        },
        settings,
      );
    },
  };
});
