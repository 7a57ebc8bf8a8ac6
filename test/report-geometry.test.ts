/// <reference lib="dom" />
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { paperTasks, type TaskName } from "../dist/common/vocabulary.js";
import { executable, type OpenReports, openReports } from "./browser-fixture.js";
import type { FixtureOptions } from "./report-fixture.js";

/** Every task of the paper, one of them learnt by diffusion too, with values that lie close together. */
const whole: FixtureOptions = {
  tasks: [...paperTasks],
  strategies: (task) =>
    task === "super-resolution"
      ? ["direct", "diffusion"]
      : [task === "modality-translation" ? "diffusion" : "direct"],
  models: ["ProFound", "ProViCNet"],
  epochs: 6,
  trivial: () => 0.9,
  mean: (task: TaskName, comparator) =>
    ({
      "fine-tuned": 0.92,
      "from-scratch": 0.91,
      specialised: 0.93,
      pretrained: 0.02,
      "random-weights": 0.019,
      trivial: 0.9,
    })[comparator] * (task === "lesion-segmentation" ? 0.7 : 1),
};
const studies: Record<string, FixtureOptions> = {
  "every task and two models": whole,
  "every task and three seeds, one model of which failed": {
    ...whole,
    seeds: [1, 2, 3],
    status: ({ model }) => (model === "ProViCNet" ? "failed" : "done"),
  },
  "cells that are still to come": {
    ...whole,
    seeds: [1, 2],
    testCases: 3,
    status: ({ task, comparator, seed }) =>
      task === "super-resolution" && (comparator === "fine-tuned" || seed === 1) ? "done" : "pending",
  },
};

describe.skipIf(executable === undefined)("the report as it is seen (needs chromium)", () => {
  let opened: OpenReports;

  beforeAll(async () => {
    opened = await openReports(studies);
  });
  afterAll(() => opened?.close());

  /** A report with all that is folded open; `print` is A4 with margins of 14 mm. */
  async function open(name: string, width: number | "print"): Promise<Page> {
    const page = await opened.browser.newPage({
      viewport: { width: width === "print" ? 688 : width, height: 900 },
    });
    await page.goto(pathToFileURL(opened.reports.get(name) as string).href);
    await page.evaluate(() => {
      for (const fold of document.querySelectorAll("details")) fold.open = true;
    });
    if (width === "print") await page.emulateMedia({ media: "print" });
    return page;
  }

  describe.each(Object.keys(studies))("of a study of %s", (name) => {
    it.each([1280, 390, "print"] as const)("has no text of a figure upon another (%s)", async (width) => {
      const page = await open(name, width);
      const covered = await page.$$eval("svg.drawing", (all) =>
        all.flatMap((svg) => {
          const lines = [...svg.querySelectorAll("text")].flatMap((text) => {
            const parts = text.querySelectorAll("tspan");
            return parts.length > 0 ? [...parts] : [text];
          });
          const seen = lines.map((line) => ({ text: line.textContent, box: line.getBoundingClientRect() }));
          return seen.flatMap(({ text, box }, index) =>
            seen.slice(index + 1).flatMap((other) => {
              const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
              // A box holds a line with the room above and beneath its letters.
              const down =
                Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) - box.height * 0.3;
              return across > 1 && down > 0
                ? [`${text} / ${other.text}: ${svg.getAttribute("aria-label")}`]
                : [];
            }),
          );
        }),
      );
      expect(covered).toEqual([]);
      await page.close();
    });

    it.each([1280, 390, "print"] as const)("keeps what a table says inside its cells (%s)", async (width) => {
      const page = await open(name, width);
      const beyond = await page.$$eval("th, td", (all) =>
        all.flatMap((cell) => {
          if (cell.getClientRects().length === 0 || cell.textContent === "") return [];
          const words = document.createRange();
          words.selectNodeContents(cell);
          const [inner, outer] = [words.getBoundingClientRect(), cell.getBoundingClientRect()];
          const spoken = cell.querySelector(".spoken") !== null; // lies outside on purpose
          return !spoken && (inner.left < outer.left - 1 || inner.right > outer.right + 1)
            ? [cell.textContent]
            : [];
        }),
      );
      expect(beyond).toEqual([]);
      await page.close();
    });

    it.each([1280, 390, "print"] as const)(
      "keeps what a picture is called beneath it (%s)",
      async (width) => {
        const page = await open(name, width);
        const pictures = await page.$$eval(".images .image", (all) =>
          all.map((one) => {
            const words = document.createRange();
            words.selectNodeContents(one.querySelector("p") as Element);
            const box = (one.querySelector(".frame") as Element).getBoundingClientRect();
            return {
              label: one.textContent,
              width: box.width,
              right: words.getBoundingClientRect().right - box.right,
            };
          }),
        );
        expect(pictures.length > 0 || name === "every task, one model of which failed").toBe(true);
        for (const { label, width: shown, right } of pictures) {
          expect(shown, label as string).toBeGreaterThan(60);
          expect(right, label as string).toBeLessThan(9); // the gap between pictures is 6 pixels or more
        }
        await page.close();
      },
    );

    it("shows the table of everything whole at 1280 px", async () => {
      const page = await open(name, 1280);
      expect(await page.$eval("#table-results .scroll", (one) => one.scrollWidth - one.clientWidth)).toBe(0);
      await page.close();
    });

    it("shows a number in every table at 390 px, without scrolling", async () => {
      const page = await open(name, 390);
      const hidden = await page.$$eval(".table", (all) =>
        all
          .filter((table) => table.querySelector("tbody td.number") !== null)
          .filter(
            (table) =>
              (table.querySelector("tbody td.number") as Element).getBoundingClientRect().right > 390,
          )
          .map((table) => table.id),
      );
      expect(hidden).toEqual([]);
      await page.close();
    });

    it("prints nothing wider than the page, which would make all of it smaller, and no text below 6 points", async () => {
      const page = await open(name, "print");
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(688);
      const smallest = await page.$$eval("svg.drawing text, table td, table th, .image p", (all) =>
        all
          .filter((one) => one.getClientRects().length > 0)
          .map((one) => {
            const svg = one.closest("svg");
            const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
            return {
              text: one.textContent,
              points: Number.parseFloat(getComputedStyle(one).fontSize) * scale * 0.75,
            };
          })
          .reduce((least, one) => (one.points < least.points ? one : least)),
      );
      expect(smallest.points, smallest.text as string).toBeGreaterThanOrEqual(6);
      await page.close();
    });
  });
});
