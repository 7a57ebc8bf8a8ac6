/** Which case is where: `cohort.json`, from which workers take what they train and test on. */
import { z } from "zod";
import { numberOrNull, text, whole } from "./fields.js";

const preparedCase = z.looseObject({
  id: text,
  patient: text,
  labels: z.looseObject({}),
  file: text,
  volumes: z.array(text),
  spacing: z.tuple([z.number(), z.number(), z.number()]),
});
const cases = z.array(preparedCase);

const splitCohort = z.looseObject({
  manifest: text,
  cases: whole,
  patients: whole,
  split: z.looseObject({ train: cases, validation: cases, test: cases }),
});

const division = splitCohort.extend({
  tasks: z.record(text, splitCohort),
  pretraining: z.record(text, cases),
});

/** What every cohort has; which volumes and labels a case has is the study's. */
export const cohortSchema = division.extend({
  divisions: z.record(text, division).optional(),
  excluded: z.array(z.looseObject({ case: text, file: text.nullable(), reason: text })),
});

/** `forecast/<model>--<task>--<weights>.json`: scores of an encoder, with what they rest on. */
export const keptScoresSchema = z.object({
  restsOn: text,
  rows: whole,
  scores: z.object({
    logMe: numberOrNull,
    hScore: numberOrNull,
    sfda: numberOrNull,
    nearestNeighbours: numberOrNull,
    linearProbe: numberOrNull,
  }),
});
