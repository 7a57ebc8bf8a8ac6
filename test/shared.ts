import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const folder =
  process.env.TRANSFER_LIMITS_SHARED ?? join(fileURLToPath(new URL("..", import.meta.url)), "..", "shared");

/** True where the folder of golden numbers and real scans does not lie beside the checkout: its tests are skipped. */
export const sharedMissing = !existsSync(join(folder, "parity"));

/** The absolute path of a file in that folder. */
export const shared = (...path: string[]): string => join(folder, ...path);
