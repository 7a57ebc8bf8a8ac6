import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { paperTasks } from "../dist/common/vocabulary.js";
import { ticksAroundZero } from "../dist/report/figures/figure.js";
import { writeReport } from "../dist/report/index.js";
import { temporaryFolder, writeStudyFolder } from "./report-fixture.js";

describe("figures for a journal", () => {
  let remove: () => Promise<void>;
  const files = new Map<string, string>();
  beforeAll(async () => {
    const made = await temporaryFolder();
    remove = made.remove;
    await writeStudyFolder(made.folder, {
      tasks: [...paperTasks],
      models: ["ProFound", "ProViCNet"],
      mean: (_, comparator) => (comparator === "fine-tuned" ? 0.9 : 0.8),
    });
    await writeReport(made.folder);
    const figures = join(made.folder, "figures");
    for (const name of await readdir(figures))
      if (name.endsWith(".svg")) files.set(name, await readFile(join(figures, name), "utf8"));
  });
  afterAll(() => remove());

  it("have text of 6 points or more at the width they are made for", () => {
    expect(files.size).toBeGreaterThan(20);
    for (const [name, svg] of files) {
      const [, millimetres, pixels] = /width="(\d+)mm"[^>]*viewBox="0 0 (\d+) /.exec(svg) ?? [];
      const points = ((Number(millimetres) / Number(pixels)) * 72) / 25.4;
      const sizes = [...svg.matchAll(/font-size="([\d.]+)px"/g)].map((match) => Number(match[1]) * points);
      expect(sizes.length, name).toBeGreaterThan(0);
      expect(Math.min(...sizes), name).toBeGreaterThanOrEqual(6);
      expect(Math.max(...sizes), name).toBeLessThan(11); // no louder than the text of a paper
    }
  });

  it("name fonts that every system has one of, and nothing that a reader's program would have to fetch", () => {
    for (const [name, svg] of files) {
      const fonts = new Set([...svg.matchAll(/font-family="([^"]*)"/g)].map((match) => match[1]));
      expect([...fonts], name).toEqual(["Arial, Helvetica, 'Liberation Sans', sans-serif"]);
      expect(svg, name).not.toMatch(/<image|<style|url\(http|href="(?!#)/);
    }
  });

  it("of gains have 0 and a few round numbers on their axis", () => {
    expect(ticksAroundZero([-6.2, 5])).toEqual([-5, 0, 5]);
    expect(ticksAroundZero([0, 0.012])).toEqual([0, 0.01]);
    expect(ticksAroundZero([-2, 16])).toEqual([0, 10]);
    expect(ticksAroundZero([-22, 22])).toEqual([-20, 0, 20]);
    expect(ticksAroundZero([0, 0])).toEqual([0]);
  });
});
