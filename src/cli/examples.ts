import { ownCommand } from "../common/own-commands.js";

/** The end of a command's help: calls that work where it was asked for, each given as the words after the program's name. */
export const examples = (...calls: readonly string[]): string =>
  [`\nExample${calls.length === 1 ? "" : "s"}:`, ...calls.map((call) => `  ${ownCommand()} ${call}`)].join(
    "\n",
  );
