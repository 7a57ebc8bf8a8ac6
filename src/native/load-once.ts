import { createRequire } from "node:module";

/**
 * A process that loads an addon and nothing more: `node load-once.js LOADER LIBRARY... ADDON`. It ends with exit status 0
 * where the addon answers, and otherwise with 1 and the reason; or it is ended by the system, which is what it is for.
 */
const [loader = "", ...rest] = process.argv.slice(2);
const addon = rest.pop() ?? "";
const require = createRequire(import.meta.url);
try {
  (require(loader) as { open(paths: string[]): void }).open(rest);
  (require(addon) as { buildInfo(): unknown }).buildInfo();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
