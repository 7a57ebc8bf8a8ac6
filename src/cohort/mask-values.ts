import { Tensor } from "../native/tensor.js";
import { type CheckedMask, checkMask, countLabels } from "../native/volumes.js";
import type { MaskColumn } from "./columns.js";
import { badImage } from "./formats/bad-image.js";
import type { Image } from "./image.js";

/** A mask whose values are labels, and whether they were between 0 and 1 in its file. */
export interface LabelledMask {
  image: Image;
  graded: boolean;
}

/**
 * A mask with values that are sound, before anything is resampled: labels within a thousandth of whole numbers are
 * rounded; where foreground alone is meant (a prostate's gland, lesion, rectum) every label becomes 1, and a graded mask is
 * 1 above one half. A mask of several labels, such as zones, keeps them.
 *
 * @param column null where it is not known what the mask shows: then either will do
 * @throws `BAD_IMAGE` for values that are no labels, with some of them
 */
export async function labelled(
  image: Image,
  column: Pick<MaskColumn, "labels" | "closed"> | null,
): Promise<LabelledMask> {
  using values = Tensor.sharing(image.data, image.shape);
  let checked = await checkMask(values, column !== null && column.labels === undefined);
  if (column === null && checked.kind === "graded") checked = await checkMask(values, true);
  if (checked.mask === null) throw badImage(image.path, refusal(checked));
  using mask = checked.mask;
  const data = (await mask.toArray()) as Float32Array;
  if (column?.closed && column.labels !== undefined) await refuseOthers(image.path, mask, column.labels);
  return {
    image: { ...image, data },
    graded: checked.kind === "graded",
  };
}

/** Refuses a mask with labels that the study does not name: what they are of would be taken for background. */
async function refuseOthers(
  path: string,
  mask: Tensor,
  labels: Readonly<Record<number, string>>,
): Promise<void> {
  const named = Object.keys(labels).map(Number);
  const others = (await countLabels(mask))
    .map(({ label }) => label)
    .filter((label) => !named.includes(label));
  if (others.length === 0) return;
  throw badImage(
    path,
    `it has the labels ${inWords(others.slice(0, 10))}, which the study does not name: expected ` +
      `0 and ${inWords(named)}. Name them in cohort.columns.masks, or give a mask without them`,
  );
}

/** Why a mask's values are refused, and how to mend it. */
function refusal({ kind, values }: CheckedMask): string {
  const found = `it is taken for a mask, but its values are no labels: ${inWords(values)}`;
  if (kind === "scaled")
    return (
      `${found}: scaled? Store each label as the whole number that it is, 0 where there is nothing, ` +
      "without a slope or an intercept in the header"
    );
  if (kind === "graded")
    return (
      `${found}, as a mask has that was resampled linearly. Zones are several labels, which no threshold parts again: ` +
      "resample their labels by the nearest neighbour"
    );
  if (kind === "many-labels")
    return (
      `${found}: too many or too high for labels, expected at most 64, and none above 64 where several are one ` +
      "foreground. An image, or a mask of 0 to 255 that was resampled linearly? Give a mask whose foreground is 1"
    );
  return (
    `${found}, expected whole numbers from 0, or for one foreground a graded mask (between 0 and 1, most of it 0 or 1). ` +
    "An image in place of the mask? If it is a mask that was resampled, resample its labels by the nearest neighbour"
  );
}

const inWords = (values: readonly number[]): string => {
  const words = values.map((value) => String(Number(value.toPrecision(value < 0.1 ? 2 : 5))));
  const last = words.pop() ?? "";
  return words.length === 0 ? last : `${words.join(", ")} and ${last}`;
};
