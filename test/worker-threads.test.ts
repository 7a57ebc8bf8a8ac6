import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

describe("a worker thread that ends with work under way", () => {
  it("does not end the process, which goes on computing", async () => {
    const program = fileURLToPath(new URL("thread-that-ends.mjs", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [program]); // rejects where it crashes
    expect(stdout).toBe("1,2,3");
  }, 60_000);
});
