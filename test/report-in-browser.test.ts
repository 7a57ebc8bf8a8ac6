/// <reference lib="dom" />
import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { writeReport } from "../dist/report/index.js";
import { executable, type OpenReports, openReports } from "./browser-fixture.js";
import { type FixtureOptions, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

if (executable === undefined) {
  console.warn(
    "Skipped: the report in a browser. Install Debian's package chromium, or set CHROMIUM to its path.",
  );
}

const studies: Record<string, FixtureOptions> = {
  "two tasks, one model": {},
  "two models, two seeds, many cases": {
    models: ["profound-tiny", "provicnet-small"],
    seeds: [1, 2],
    testCases: 70,
    epochs: 40,
  },
  "unfinished, hostile, odd pixels": {
    name: `<img src=x onerror=alert(1)> ${"a-very-long-name-without-a-space".repeat(4)}`,
    saturated: true,
    testCases: 3,
    epochs: 2,
    size: [40, 64],
    spacing: [1.5, 1],
    failure: `<script>alert(1)</script> ${"/a/long/path".repeat(20)}`,
    status: ({ task, comparator }) =>
      comparator === "specialised"
        ? "pending"
        : task === "super-resolution" && comparator === "from-scratch"
          ? "failed"
          : "done",
  },
};

describe.skipIf(executable === undefined)("the report in headless Chromium (needs chromium)", () => {
  let opened: OpenReports;

  beforeAll(async () => {
    opened = await openReports(studies);
  });
  afterAll(() => opened?.close());

  async function open(path: string, width: number, theme: "light" | "dark" = "light") {
    const page = await opened.browser.newPage({ viewport: { width, height: 900 }, colorScheme: theme });
    const errors: string[] = [];
    const requests: string[] = [];
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("dialog", (dialog) => {
      errors.push(`A dialog opened: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(path).href);
    return { page, errors, requests };
  }

  const unfold = (page: Page) =>
    page.evaluate(() => {
      for (const fold of document.querySelectorAll("details")) fold.open = true;
    });

  describe.each(Object.keys(studies))("of a study with %s", (name) => {
    describe.each([1280, 320])("at %i px", (width) => {
      it("shows every image and figure, logs no error and asks the network for nothing", async () => {
        const { page, errors, requests } = await open(opened.reports.get(name) as string, width);
        await unfold(page);
        const images = await page.$$eval("img", (all) =>
          all.map((image) => ({
            decoded: image.naturalWidth,
            width: image.width,
            height: image.height,
            alt: image.alt,
          })),
        );
        expect(images.length).toBeGreaterThan(10);
        for (const image of images) {
          expect(image.decoded, image.alt).toBeGreaterThan(0);
          expect(Math.min(image.width, image.height), image.alt).toBeGreaterThan(20);
          expect(image.alt).not.toBe("");
        }
        const drawings = await page.$$eval(
          "figure.figure svg.drawing[role=img]:not([aria-label=''])",
          (all) =>
            all.map((svg) => ({
              label: svg.getAttribute("aria-label"),
              box: svg.getBoundingClientRect().toJSON() as DOMRect,
              marks: svg.querySelectorAll(".role-mark path, .role-mark use, .role-mark line, .role-mark text")
                .length,
            })),
        );
        expect(drawings.length).toBeGreaterThan(6);
        for (const { label, box, marks } of drawings) {
          expect(box.width, label as string).toBeGreaterThan(200);
          expect(box.height, label as string).toBeGreaterThan(80);
          expect(marks, label as string).toBeGreaterThan(0);
        }
        expect(errors).toEqual([]);
        expect(requests.filter((url) => !url.startsWith("data:"))).toEqual([page.url()]);
        await page.close();
      });

      it("does not scroll sideways, and no heading, figure, table or image covers another", async () => {
        const { page } = await open(opened.reports.get(name) as string, width);
        await unfold(page);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
        const overlaps = await page.evaluate(() => {
          const all = [
            ...document.querySelectorAll("h1, h2, h3, p, ul, dl, figure, .scroll, .frame, .panel, pre"),
          ].filter(
            (one) =>
              one.getClientRects().length > 0 &&
              getComputedStyle(one).position !== "absolute" &&
              !one.closest("nav"),
          );
          const boxes = all.map((one) => one.getBoundingClientRect());
          const found: string[] = [];
          for (let i = 0; i < all.length; i++) {
            for (let j = i + 1; j < all.length; j++) {
              if (all[i].contains(all[j]) || all[j].contains(all[i])) continue;
              const [a, b] = [boxes[i], boxes[j]];
              const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (wide > 1 && high > 1) {
                found.push(
                  `${all[i].tagName} ${all[i].textContent?.slice(0, 40)} / ${all[j].tagName} ${all[j].textContent?.slice(0, 40)}`,
                );
              }
            }
          }
          return found;
        });
        expect(overlaps).toEqual([]);
        await page.close();
      });

      it("cuts no text of a figure", async () => {
        const { page } = await open(opened.reports.get(name) as string, width);
        await unfold(page);
        const cut = await page.evaluate(() =>
          [...document.querySelectorAll("svg.drawing")].flatMap((svg) => {
            const outer = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")]
              .filter((text) => {
                const box = text.getBoundingClientRect();
                return (
                  box.left < outer.left - 1 ||
                  box.right > outer.right + 1 ||
                  box.top < outer.top - 1 ||
                  box.bottom > outer.bottom + 1
                );
              })
              .map((text) => `${text.textContent} in ${svg.getAttribute("aria-label")}`);
          }),
        );
        expect(cut).toEqual([]);
        await page.close();
      });
    });
  });

  it.each([1280, 390])("keeps the physical shape of images at %i px", async (width) => {
    const { page } = await open(opened.reports.get("unfinished, hostile, odd pixels") as string, width);
    const shapes = await page.$$eval("#task-super-resolution img", (all) =>
      all.map((image) => image.clientWidth / image.clientHeight),
    );
    expect(shapes.length).toBeGreaterThan(0);
    for (const shape of shapes) expect(shape).toBeCloseTo((64 * 1) / (40 * 1.5), 1);
    await page.close();
  });

  it("is drawn for a dark page, with figures in the page's colours", async () => {
    const { page } = await open(opened.reports.get("two tasks, one model") as string, 1280, "dark");
    const colours = await page.evaluate(() => ({
      page: getComputedStyle(document.body).backgroundColor,
      label: getComputedStyle(document.querySelector("#gain .role-axis-label text") as Element).fill,
    }));
    expect(colours).toEqual({ page: "rgb(20, 24, 29)", label: "rgb(163, 173, 183)" });
    await page.close();
  });

  it("sorts its table by a heading, with the keyboard alone", async () => {
    const { page } = await open(opened.reports.get("two tasks, one model") as string, 1280);
    const heading = page.locator("#table-results th[data-column]").nth(3);
    const column = () =>
      page.$$eval("#table-results tbody tr", (rows) =>
        rows.map((row) => Number(row.children[3].textContent)),
      );
    await heading.locator("button").focus();
    await page.keyboard.press("Enter");
    expect(await heading.getAttribute("aria-sort")).toBe("descending");
    const descending = await column();
    expect(descending).toEqual([...descending].sort((a, b) => b - a));
    await page.keyboard.press("Enter");
    expect(await column()).toEqual([...descending].reverse());
    await page.close();
  });

  it("gives its figures away when it was moved on its own", async () => {
    const { folder, remove } = await temporaryFolder();
    onTestFinished(remove);
    await writeStudyFolder(folder);
    const moved = join(folder, "cells", "moved.html");
    await rename(await writeReport(folder), moved);
    const { page } = await open(moved, 1280);
    for (const file of ["gain-85mm.svg", "gain-170mm.svg", "gain.csv"]) {
      const [download] = await Promise.all([
        page.waitForEvent("download"),
        page.click(`#gain a[download="${file}"]`),
      ]);
      expect(download.suggestedFilename()).toBe(file);
      expect((await stat(await download.path())).size).toBe((await stat(join(folder, "figures", file))).size);
    }
    await page.close();
  });

  it("prints every row of pictures in one line, and shows it so on a wide screen", async () => {
    const { page } = await open(opened.reports.get("two tasks, one model") as string, 1280);
    const lines = () =>
      page.$$eval(".images", (all) =>
        all.map(
          (row) => new Set([...row.children].map((one) => Math.round(one.getBoundingClientRect().top))).size,
        ),
      );
    expect(new Set(await lines())).toEqual(new Set([1]));
    await page.setViewportSize({ width: 688, height: 900 });
    await page.emulateMedia({ media: "print" });
    expect(new Set(await lines())).toEqual(new Set([1]));
    await page.close();
  });

  it("shows the table of everything whole at 1280 px, and numbers of it at 390 px", async () => {
    for (const name of ["two tasks, one model", "two models, two seeds, many cases"]) {
      const { page } = await open(opened.reports.get(name) as string, 1280);
      const cut = () =>
        page.$eval("#table-results .scroll", (one) => one.scrollWidth - (one as HTMLElement).clientWidth);
      expect(await cut(), name).toBeLessThanOrEqual(0);
      await page.setViewportSize({ width: 390, height: 900 });
      const number = await page.$eval("#table-results tbody td.number", (one) => {
        const box = one.getBoundingClientRect();
        return { text: one.textContent ?? "", right: box.right };
      });
      expect(Number(number.text)).toBeGreaterThan(0);
      expect(number.right).toBeLessThan(390);
      await page.close();
    }
  });

  it("prints to A4: nothing wider than the page, folded parts opened", async () => {
    const { page } = await open(opened.reports.get("two tasks, one model") as string, 688); // 210 mm less margins of 14 mm
    await page.emulateMedia({ media: "print" });
    await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
    const wide = await page.evaluate(() =>
      [...document.querySelectorAll("table, figure, pre, p")]
        .filter((one) => one.getBoundingClientRect().right > 689)
        .map((one) => `${one.tagName} ${one.textContent?.slice(0, 60)}`),
    );
    expect(wide).toEqual([]);
    expect(await page.$$eval("details", (all) => all.every((fold) => fold.open))).toBe(true);
    await page.close();
  });
});
