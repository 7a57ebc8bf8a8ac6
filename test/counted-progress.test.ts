import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { countedProgress } from "../dist/cli/counted-progress.js";

/** A stream that keeps what is written to it. */
function stream(properties: { isTTY?: boolean; columns?: number } = {}) {
  const through = Object.assign(new PassThrough(), properties);
  let text = "";
  through.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
  });
  return { through, written: () => text };
}

describe("The progress of work on counted things", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["Date"], now: 1_000_000 }));
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllEnvs();
  });

  it("is a line every half minute where there is no terminal, with the time left at the pace so far", () => {
    const { through, written } = stream();
    const view = countedProgress(through, "Embedding");
    for (let done = 1; done <= 8; done++) {
      vi.setSystemTime(1_000_000 + 10_000 * done);
      view.show({ done, total: 8, leftOut: done < 4 ? 0 : 1 });
    }
    view.close();
    expect(written()).toBe(
      "Embedding: 3 of 8, about 50 s left\nEmbedding: 6 of 8, 1 left out, about 20 s left\n",
    );
  });

  it("is one live line on a terminal, no wider than it, which goes at the end", () => {
    vi.stubEnv("TERM", "xterm");
    const { through, written } = stream({ isTTY: true, columns: 30 });
    const view = countedProgress(through, "Embedding");
    vi.setSystemTime(1_000_000 + 90_000);
    view.show({ done: 1, total: 700, leftOut: 1 });
    expect(written()).toContain("Embedding: 1 of 700, 1 left o");
    expect(written()).not.toContain("left out");
    view.close();
    view.close();
    expect(written().split("\n")).toHaveLength(2);
  });
});
