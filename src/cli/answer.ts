import { CommanderError } from "commander";
import { bounded, messageOf, TransferLimitsError } from "../common/errors.js";
import { codedError } from "../common/system-errors.js";
import { printable } from "./format.js";

/** What a command found: one value for `--json`, and the same in words. */
export interface Answer {
  value: unknown;
  text: string;
  /** Something that the user asked for failed, though there is an answer: exit status 1. Default false. */
  failed?: boolean;
}

/**
 * Writes a command's answer to stdout, and nothing else: one JSON document with `--json`, otherwise plain words.
 * Progress and messages belong on stderr.
 */
export async function answer(options: { json?: boolean }, work: () => Promise<Answer>): Promise<void> {
  const { value, text, failed = false } = await work();
  process.stdout.write(options.json ? `${JSON.stringify(value, null, 2)}\n` : `${text.trimEnd()}\n`);
  if (failed) process.exitCode = 1;
}

/** Codes of errors that the user mends by calling differently, or by writing another study file: exit status 2. */
const badUse = new Set(["BAD_CONFIG", "BAD_MANIFEST", "BAD_USE"]);

/** Reports what a command threw, and sets the exit status: 1 failed, 2 bad use. */
export function reportFailure(thrown: unknown, json: boolean): void {
  const error = codedError(thrown);
  if (error instanceof CommanderError && error.exitCode === 0) return; // --help, --version
  const code = codeOf(error);
  process.exitCode = badUse.has(code) ? 2 : 1;
  const message = bounded(messageOf(error)).replace(/^error: /, "");
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } }, null, 2)}\n`);
  // Commander has already written its own message to stderr.
  if (!(error instanceof CommanderError)) process.stderr.write(`error (${code}): ${printable(message)}\n`);
  if (code === "INTERNAL" && error instanceof Error) process.stderr.write(`${error.stack ?? ""}\n`);
}

function codeOf(error: unknown): string {
  if (error instanceof CommanderError) return "BAD_USE";
  return error instanceof TransferLimitsError ? error.code : "INTERNAL";
}
