import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A folder for the running test, removed when the test is through. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "transfer-limits-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
