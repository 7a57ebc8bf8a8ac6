import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { addonFile } from "./load-addon.js";

/** SHA-256 of the compiled addon that this process computes with: two builds of one version differ in it. */
export const addonHash = (): string => createHash("sha256").update(readFileSync(addonFile())).digest("hex");
