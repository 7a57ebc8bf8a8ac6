import { z } from "zod";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { readRegularFile } from "../common/regular-file.js";
import { openSeal } from "../common/sealed-json.js";
import type { CohortCase } from "./manifest.js";

/** Patients that must not take part. A case that is named stands for its patient. */
export interface ExclusionList {
  patients: ReadonlySet<string>;
  cases: ReadonlySet<string>;
}

/** Far more than any list of patients; a larger file is something else. */
const mostBytes = 64 * 1024 * 1024;

const names = z.array(z.string());
const part = z.object({
  validation: names,
  test: names,
  patients: z.object({ validation: names, test: names }).optional(),
});
const splitsSchema = part.extend({ others: z.array(part).default([]) });

/**
 * Reads a list of patients to leave out: a text with one a line (blank lines and those that begin with `#` are passed
 * over, and so is a heading `patient`), a JSON list, or the `splits.json` of a study, whose validation and test patients
 * are meant.
 *
 * @throws `BAD_CONFIG` where the file cannot be read or is none of these
 */
export async function readExclusionList(path: string): Promise<ExclusionList> {
  const refuse = (reason: string, cause?: unknown) =>
    new TransferLimitsError(
      "BAD_CONFIG",
      `Expected a list of patients (one a line, or a JSON list), or a study's splits.json, in ${path}, but ${reason}`,
      { cause },
    );
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await readRegularFile(path, mostBytes));
  } catch (error) {
    throw refuse(`it cannot be read: ${messageOf(error)}`, error);
  }
  const trimmed = text.trim();
  if (!trimmed.startsWith("{") && !trimmed.startsWith("["))
    return { patients: lines(trimmed), cases: new Set() };
  const found = openSeal(trimmed);
  if (found.state === "damaged") throw refuse(found.reason);
  const { value } = found;
  const list = names.safeParse(value);
  if (list.success) return { patients: new Set(list.data), cases: new Set() };
  const splits = splitsSchema.safeParse(value);
  if (!splits.success)
    throw refuse(`it holds something else: ${z.prettifyError(splits.error)}`, splits.error);
  const parts = [splits.data, ...splits.data.others];
  return {
    patients: new Set(
      parts.flatMap(({ patients }) => [...(patients?.validation ?? []), ...(patients?.test ?? [])]),
    ),
    // A file that names no patients is known by its cases.
    cases: new Set(
      parts.flatMap(({ patients, validation, test }) => (patients ? [] : [...validation, ...test])),
    ),
  };
}

const lines = (text: string): Set<string> => {
  const all = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  return new Set(all[0]?.toLowerCase() === "patient" ? all.slice(1) : all);
};

/** Of these cases, the patients that a list names. */
export const listedPatients = (
  { patients, cases: ids }: ExclusionList,
  cases: readonly Pick<CohortCase, "id" | "patient">[],
): Set<string> =>
  new Set(cases.flatMap(({ id, patient }) => (patients.has(patient) || ids.has(id) ? [patient] : [])));
