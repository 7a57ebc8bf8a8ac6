import { z } from "zod";
import { number, text, whole } from "./fields.js";

const jobSchema = z.object({
  format: z.literal("transfer-limits/job@1"),
  /** Of the cell. */
  id: text,
  /** Ids of the cells whose results this one starts from. */
  dependsOn: z.array(text),
  /** Where it runs unless it is told otherwise: `cpu` or `cuda:N`. */
  device: text,
  /** Of an operation on the CPU. The last bits of every number depend on it. */
  threads: whole,
  /** SHA-256 of the file of weights that the cell's model brings; null: it brings none. */
  weights: text.nullable(),
  /** Estimated peak of the memory of its device, in bytes. */
  memoryBytes: number,
  /** `hash` of what its numbers rest on, as in `Basis`: the study and the cohort that lie beside it must still give it. */
  restsOn: text,
});

/**
 * What there is to do for a cell: `jobs/<id>.json`. With `study.resolved.json` and `cohort.json` beside it, it is all that
 * whoever works on the cell needs to know.
 */
export interface Job extends z.infer<typeof jobSchema> {}
export const jobFile: z.ZodType<Job> = jobSchema;
