import { type CaseVolumes, loadForeground } from "../../cohort/case-volumes.js";
import { type Need, unmetNeed } from "../../cohort/needs.js";
import { Tensor } from "../../native/tensor.js";
import type { LossSpec } from "../../native/trainer.js";
import { type Sees, seenOfProstate } from "./sees.js";

/**
 * Patch-level contrast guided by lesion masks, as ProViCNet is pretrained (Lee et al. 2025; the loss is the supervised
 * contrast of Khosla et al. 2020): patches of lesions are drawn together, and away from patches of other tissue. Which
 * cases show a lesion is found here; patches and their contrast are the network's.
 */
export const patchContrastLoss = (settings: {
  temperature: number;
  lesionShare: number;
  patches: number;
}): LossSpec => ({
  kind: "patch-contrast",
  temperature: settings.temperature,
  lesionShare: settings.lesionShare,
  patches: settings.patches,
});

/** What a case must have to teach. */
export const contrastNeedsOf = ({ images, mask }: Sees): readonly Need[] => [
  { oneOf: [images[0]] },
  ...(mask === null ? [] : [{ oneOf: [mask], holds: "mask" } as const]),
];
export const contrastNeeds: readonly Need[] = contrastNeedsOf(seenOfProstate);

/** Whether a case can teach: it has T2W, and a lesion mask in which there is a lesion; or what stands for them. */
export async function showsLesion(volumes: CaseVolumes, sees: Sees = seenOfProstate): Promise<boolean> {
  if (sees.mask === null || unmetNeed(contrastNeedsOf(sees), volumes) !== null) return false;
  using mask = await loadForeground(volumes, sees.mask);
  return (await mask.sliceSums()).some((sum) => sum > 0);
}

/**
 * A batch: T2W of some cases, [N, 1, D, H, W], whose slices the encoder sees with their neighbours, and their masks of
 * any lesion, [N, 1, D, H, W].
 *
 * @param hasLesion whether a case has a lesion mask; one that has none gets an empty one
 */
export async function contrastBatch(
  cases: readonly CaseVolumes[],
  hasLesion: (index: number) => boolean = () => true,
  { images: [reference], mask: role }: Sees = seenOfProstate,
): Promise<{ input: Tensor; target: Tensor }> {
  const kept: Tensor[] = [];
  const keep = (tensor: Tensor) => {
    kept.push(tensor);
    return tensor;
  };
  try {
    const images: Tensor[] = [];
    const masks: Tensor[] = [];
    for (const [index, volumes] of cases.entries()) {
      const image = keep(await volumes.load(reference));
      images.push(keep(await Tensor.gather([image], [0]))); // [1, D, H, W]
      const mask = keep(
        role !== null && hasLesion(index)
          ? await loadForeground(volumes, role)
          : await image.threshold(Number.POSITIVE_INFINITY),
      );
      masks.push(keep(await Tensor.gather([mask], [0])));
    }
    const indices = cases.map((_, index) => index);
    const input = await Tensor.gather(images, indices);
    try {
      return { input, target: await Tensor.gather(masks, indices) };
    } catch (error) {
      input.dispose();
      throw error;
    }
  } finally {
    for (const tensor of kept) tensor.dispose();
  }
}
