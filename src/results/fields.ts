import { z } from "zod";
import { strategies } from "../common/vocabulary.js";

/*
 * What the files of a study are made of. Whatever stands in a study's folder may have been written by anyone: each file is
 * checked by its schema before a number of it is believed, and keys that a later version adds are passed over.
 */

/** JSON has no NaN: a number that was not finite stands as null in the file, and as NaN here. */
export const number = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/** A number that may be undefined, and is null where it is. */
export const numberOrNull = z.number().nullable();

export const whole = z.number().int();
export const text = z.string().max(100_000);

/** The task, how it is learnt, and the model. */
export const variant = { task: text, strategy: z.enum(strategies), model: text };

const cellStatuses = ["done", "failed", "pending"] as const;
export const cellStatus = z.enum(cellStatuses);
/** `pending`: it has not been run yet, or not to its end. @useDeclaredType */
export type CellStatus = (typeof cellStatuses)[number];
