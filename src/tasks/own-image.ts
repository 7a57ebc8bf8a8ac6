import { z } from "zod";
import type { CohortColumns } from "../cohort/columns.js";
import { columnFault } from "./definition.js";
import type { TaskFault } from "./faults.js";

/** In a study file: the one image of the cohort that a task is about; default: the cohort's reference. */
export const imageOption = z.string().min(1).optional();

/** Options of such a task. */
interface OfAnImage {
  image?: string | undefined;
}

/** The options with the image filled in. */
export const onReference = <Options extends OfAnImage>(
  given: Options,
  { reference }: Pick<CohortColumns, "reference">,
): Options & { image: string } => ({ ...given, image: given.image ?? reference });

/** The image of a task, which is T2W where neither the task nor a cohort says it. */
export const imageOf = ({ image = "t2w" }: OfAnImage): string => image;

/** An image that the cohort does not have. */
export const imageFault = ({ image }: OfAnImage, columns: Pick<CohortColumns, "images">): TaskFault[] =>
  columnFault(columns, "images", ["image"], image);
