// The networks of the paper's study, each once.
import { planStudy } from "./surface.mjs";

/** Height, width, depth. */
const published = [200, 200, 96];
const rehearsed = [32, 32, 16];

/**
 * By name, what is built, the size of one input [D, H, W], the study's estimate of the memory of its cell in bytes, and
 * the batch it is for.
 *
 * @param small two of them at a size for a test
 */
export function paperNetworks(small) {
  const voxels = small ? rehearsed : published;
  const { cells } = planStudy({
    preset: "paper",
    manifests: { promis: "manifest.csv", fewShot: null },
    cohort: { voxels },
    execution: { precision: "bfloat16" },
    ...(small
      ? {
          models: [
            { name: "profound", encoder: "profound-demo", pretrain: {} },
            { name: "provicnet", encoder: "provicnet-demo", pretrain: {} },
          ],
          specialised: Object.fromEntries(
            Object.entries({
              "pirads-classification": "resnet",
              "lesion-segmentation": "unet-3d",
              "super-resolution": "transunet",
              "distortion-correction": "vit",
              "modality-translation": "ddpm-unet",
            }).map(([task, name]) => [task, `${name}-demo`]),
          ),
        }
      : {}),
  });
  const seen = new Set();
  const networks = cells.flatMap(({ kind, model, task, comparator, network, memoryBytes }) => {
    const key = JSON.stringify(network);
    if (network === null || seen.has(key)) return [];
    seen.add(key);
    const depth = task === "super-resolution" ? voxels[2] / 2 : voxels[2];
    const name = kind === "pretraining" ? `${model}, pretraining` : `${model}, ${task}`;
    return [{ name, comparator, network, size: [depth, voxels[0], voxels[1]], memoryBytes }];
  });
  return small
    ? networks.filter(({ name }) => /profound, pretraining|provicnet, lesion|resnet/.test(name))
    : networks;
}
