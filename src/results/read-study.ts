import { basename, join } from "node:path";
import { stringify } from "yaml";
import type { z } from "zod";
import { messageOf, TransferLimitsError } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import { requireChecked } from "./checked.js";
import { studyPaths } from "./paths.js";
import { type LoadedWeights, readLoadedWeights } from "./read-weights.js";
import { type Splits, type StudyResults, splitsSchema, studyResultsSchema } from "./study.js";
import { unsealed } from "./unsealed.js";

/** What a report is made from, as far as the study has come. */
export interface StudyFolder {
  path: string;
  results: StudyResults;
  /** The resolved study as YAML; null where the file is missing or broken. */
  resolved: string | null;
  splits: Splits | null;
  /** What happened to the weights that models brought. */
  weights: LoadedWeights[];
  /** What could not be read, in words for the first screen. */
  problems: string[];
}

/**
 * Reads a study's folder. Only `results.json` must be there and sound; what else is missing is told in `problems`.
 *
 * @throws `BAD_INPUT` with the file and what is wrong with it.
 */
export async function readStudyFolder(path: string): Promise<StudyFolder> {
  const file = studyPaths(path).results;
  let contents: string;
  try {
    contents = await readRegularText(file);
  } catch (error) {
    throw new TransferLimitsError(
      "BAD_INPUT",
      `Expected the folder of a study, but ${file} cannot be read: ${messageOf(error)}. ` +
        "A study writes it as soon as its first cell is done",
      { cause: error },
    );
  }
  const results = check(file, contents, studyResultsSchema);
  const problems: string[] = [];
  const optional = async <T>(
    name: string,
    read: (contents: string, file: string) => T,
  ): Promise<T | null> => {
    try {
      return read(await readRegularText(join(path, name)), join(path, name));
    } catch (error) {
      const absent = (error as { code?: unknown }).code === "ENOENT";
      problems.push(absent ? `${name} is missing.` : `${name} cannot be read: ${reasonOnly(error, path)}`);
      return null;
    }
  };
  return {
    path,
    results,
    resolved: await optional(basename(studyPaths(path).resolved), readable),
    splits: await optional(basename(studyPaths(path).splits), (text, name) =>
      check(name, text, splitsSchema),
    ),
    weights: await readLoadedWeights(path, problems),
    problems,
  };
}

/** Of a study that is written anew as YAML. */
const readableCharacters = 240_000;

/** The study as YAML, which reads best; a file too long to be read by anyone as it is, checked but not written anew. */
function readable(text: string, file: string): string {
  const study = unsealed(file, text);
  return text.length > readableCharacters ? text : stringify(study, { lineWidth: 100 });
}

/** The message without the folder, which is the reader's business and not the report's. */
export function reasonOnly(error: unknown, folder: string): string {
  return messageOf(error).replaceAll(`${folder}/`, "");
}

const check = <T>(file: string, contents: string, schema: z.ZodType<T>): T =>
  requireChecked(file, unsealed(file, contents), schema, {
    code: "BAD_INPUT",
    mend: "Run the study again, which writes the file anew",
  });
