import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";
import { writeReport } from "../dist/report/index.js";
import { type FixtureOptions, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

/** Chromium, where there is one; tests that need it are skipped elsewhere. */
export const executable = [
  process.env.CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

/** A browser, and the reports of studies that it is to open. */
export interface OpenReports {
  browser: Browser;
  /** By the study's name, the path of its page. */
  reports: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

/** Starts the browser, without anything that would ask the network, and writes the report of each study. */
export async function openReports(studies: Readonly<Record<string, FixtureOptions>>): Promise<OpenReports> {
  const browser = await chromium.launch({
    executablePath: executable as string,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  const reports = new Map<string, string>();
  const cleanUp: (() => Promise<void>)[] = [];
  for (const [name, options] of Object.entries(studies)) {
    const { folder, remove } = await temporaryFolder();
    cleanUp.push(remove);
    await writeStudyFolder(folder, options);
    reports.set(name, await writeReport(folder));
  }
  return {
    browser,
    reports,
    close: async () => {
      await browser.close();
      for (const remove of cleanUp) await remove();
    },
  };
}
