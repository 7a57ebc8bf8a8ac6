import type { EncoderSpec } from "../../native/network-spec.js";
import type { ParameterInfo } from "../../native/placed-network.js";
import { type FidelityCheck, flagged, notMeasurable, sound } from "./check.js";
import { type Known, untold } from "./input.js";
import { short } from "./numbers.js";

/** A grid may be so many times as large as the one that positions were learnt on. */
const ratioLimit = 1.25;

type Extents = readonly [height: number, width: number, depth?: number];

/** How an encoder knows where a patch lies: by positions that were learnt for one size, or in no way that a size could spoil. */
export function learntPositions(
  encoder: EncoderSpec,
  parameters: readonly Pick<ParameterInfo, "name">[],
): boolean {
  if (encoder.family === "dino-vit") return true;
  return (
    encoder.family === "torchscript" &&
    parameters.some(({ name }) => /(?:^|[._])pos(?:ition(?:al|s)?)?_?(?:emb|enc)/i.test(name))
  );
}

export const noPositions = "It has no position embedding that was learnt for one size.";

/** A position embedding that is used at another size than it was trained at. */
export function checkPositions(
  encoder: EncoderSpec,
  parameters: readonly ParameterInfo[],
  used: readonly [height: number, width: number, depth: number],
  { record, expects }: Pick<Known, "record" | "expects">,
): FidelityCheck {
  const name = "positions";
  if (!learntPositions(encoder, parameters)) return sound(name, noPositions);
  const trained = (record?.voxels ?? expects?.voxels) as Extents | undefined;
  if (trained === undefined) return notMeasurable(name, untold("voxels"));
  // Slices go one by one: their number is none of the embedding's.
  const flat =
    encoder.family === "dino-vit" || (encoder.family === "torchscript" && encoder.input === "slices");
  const axes = trained.slice(0, flat ? 2 : 3) as number[];
  const ratios = axes.map((extent, axis) => (used[axis] as number) / extent);
  const worst = ratios.reduce(
    (far, ratio) => (Math.abs(Math.log(ratio)) > Math.abs(Math.log(far)) ? ratio : far),
    1,
  );
  const shownAt = used.slice(0, axes.length).join(" x ");
  const measured = { ratio: worst };
  const words = `Its position embedding was trained at ${axes.join(" x ")} voxels and is used at ${shownAt}`;
  if (Math.abs(Math.log(worst)) > Math.log(ratioLimit))
    return flagged(
      name,
      `${words}, ${short(worst)} times as many along an axis: patches lie where it never saw any. Choose cohort.voxels nearer to its own, or let ` +
        "fine-tuning train the embedding.",
      measured,
    );
  return sound(name, `${words}.`, measured);
}
