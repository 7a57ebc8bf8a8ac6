import { z } from "zod";
import { TransferLimitsError } from "../common/errors.js";

/** More faults than these say nothing more about a file. */
const mostFaults = 10;

/** What a file says, as its schema has it; or each field that is wrong, with what was expected and what came. */
export function checked<T>(
  value: unknown,
  schema: z.ZodType<T>,
): { value: T; faults: null } | { value: null; faults: string } {
  const parsed = schema.safeParse(value);
  if (parsed.success) return { value: parsed.data, faults: null };
  return { value: null, faults: z.prettifyError(new z.ZodError(parsed.error.issues.slice(0, mostFaults))) };
}

/**
 * The same of a file that nothing can be done without.
 *
 * @param mend what whoever reads the error does about it, as a sentence
 * @throws `code`, with the file and its fields
 */
export function requireChecked<T>(
  file: string,
  value: unknown,
  schema: z.ZodType<T>,
  { code, mend }: { code: "BAD_FILE" | "BAD_INPUT"; mend: string },
): T {
  const { value: sound, faults } = checked(value, schema);
  if (faults === null) return sound;
  throw new TransferLimitsError(code, `${file} does not hold what it should:\n${faults}\n${mend}`);
}
