import { z } from "zod";
import { type CaseVolumes, loadForeground } from "../cohort/case-volumes.js";
import type { MaskRole } from "../cohort/columns.js";
import { Tensor } from "../native/tensor.js";
import type { OptionsOf } from "./definition.js";
import { channelFill } from "./task.js";

/** The loss, and what an untrained head answers. */
export const segmentationOptions = {
  /** Weight of false positives in the Tversky index. Salehi 2017: 0.3. */
  alpha: z.number().min(0).max(1).default(0.3),
  /** Weight of false negatives. Salehi 2017: 0.7. */
  beta: z.number().min(0).max(1).default(0.7),
  /**
   * The share of foreground that an untrained head answers with (Lin et al. 2017), 0.01 say; null: 0.5 or so, as weights are
   * drawn. The paper is silent.
   */
  prior: z.number().gt(0).lt(1).nullable().default(null),
  channelFill,
};

/** What is found, in what. */
export interface Segmenting {
  name: string;
  image: string;
  drawn: readonly string[];
  mask: MaskRole;
  /** Null: foreground of any label. */
  classes: readonly { name: string; labels: readonly number[] }[] | null;
  /** Of surface distances; null: they are not measured. */
  tolerance: number | null;
  loss: OptionsOf<typeof segmentationOptions>;
}

/** The masks of the classes of a case, each 0 or 1, [D, H, W]; the caller disposes them. */
export async function loadClasses(
  volumes: CaseVolumes,
  { mask: role, classes }: Pick<Segmenting, "mask" | "classes">,
): Promise<Tensor[]> {
  if (classes === null) return [await loadForeground(volumes, role)];
  using mask = await volumes.load(role);
  const made: Tensor[] = [];
  try {
    for (const { labels } of classes) {
      const steps: Tensor[] = [];
      try {
        // 1 from half a label below to half a label above: labels were rounded before.
        for (const one of labels)
          steps.push(await mask.threshold(one - 0.5), await mask.threshold(one + 0.5));
        made.push(await Tensor.combine(steps.map((step, index) => [index % 2 === 0 ? 1 : -1, step])));
      } finally {
        for (const step of steps) step.dispose();
      }
    }
    return made;
  } catch (error) {
    for (const one of made) one.dispose();
    throw error;
  }
}
