import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { binaryFolders, findBinaries } from "./binaries.js";
import { binaryName, chooseFlavour } from "./flavour.js";

/** SHA-256 of the compiled addon that this process computes with: two builds of one version differ in it. */
export function addonHash(): string {
  const folder = (findBinaries() ?? binaryFolders()[0])?.path ?? "";
  const file = join(folder, binaryName(chooseFlavour(folder)));
  return createHash("sha256").update(readFileSync(file)).digest("hex");
}
