import { z } from "zod";
import { text, whole } from "./fields.js";

/**
 * `study.resolved.json`: the study as it was checked and run. Here stands what is read of it; each other field is only
 * compared with that of the study that is to go on, or shown, whatever it says.
 */
export const resolvedStudySchema = z.looseObject({
  name: text,
  cohort: z.looseObject({}),
  tasks: z.array(z.unknown()),
  models: z.array(z.unknown()),
  claims: z.looseObject({}).exactOptional(),
  execution: z.looseObject({
    output: text,
    threads: whole.nullable().exactOptional(),
    precision: text.exactOptional(),
  }),
});
