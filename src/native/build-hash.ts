import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { binaryName, chooseFlavour } from "./flavour.js";
import { binaryFolder } from "./load.js";

/** SHA-256 of the compiled addon that this process computes with: two builds of one version differ in it. */
export function addonHash(): string {
  const file = join(binaryFolder, binaryName(chooseFlavour(binaryFolder)));
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
