import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { stringify } from "yaml";
import { examineMachine } from "../dist/cli/doctor/examine.js";
import { tryFolder } from "../dist/common/folder-trial.js";
import { writeReport } from "../dist/report/index.js";
import { loadStudy } from "../dist/study/plan/load-study.js";
import { writeStudyFolder } from "./report-fixture.js";
import { tinyStudy } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A file system that is mounted for the running test; false where none can be. */
function mounted(folder: string, options: string): boolean {
  if (spawnSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", folder]).status !== 0) return false;
  onTestFinished(() => void spawnSync("umount", ["--lazy", folder]));
  return true;
}

describe("the trial of a folder", () => {
  it("says where it was tried, whether there are hard links, and leaves nothing", async () => {
    const folder = await temporaryFolder();
    expect(await tryFolder(folder)).toEqual({ usable: true, tried: folder, hardLinks: true });
    expect(await tryFolder(join(folder, "not", "made", "yet"))).toMatchObject({
      usable: true,
      tried: folder,
    });
    expect(await readdir(folder)).toEqual([]);
  });

  it("finds what cannot hold a study: a file, what lies below one, a link that leads nowhere, what is not on a disk", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "file"), "");
    await symlink("nowhere", join(folder, "link"));
    const reason = async (path: string) => {
      const trial = await tryFolder(path);
      return trial.usable ? "usable" : trial.reason;
    };
    expect(await reason(join(folder, "file"))).toContain("file is no folder");
    expect(await reason(join(folder, "file", "below"))).toContain("file is no folder");
    expect(await reason(join(folder, "link", "below"))).toContain("link is a link that leads nowhere");
    expect(await reason("/proc/study")).not.toBe("usable"); // making folders there never ends in Node 20
  });
});

describe("before any work, a study", () => {
  const studyIn = async (folder: string, execution: { output?: string; cache?: string }) => {
    await mkdir(join(folder, "cohort"), { recursive: true });
    const rows = Array.from(
      { length: 6 },
      (_, index) => `p${index},t2w-${index}.nii.gz,lesion-${index}.nii.gz`,
    );
    await writeFile(join(folder, "cohort", "manifest.csv"), ["case,t2w,lesion", ...rows, ""].join("\n"));
    const path = join(folder, "study.yaml");
    await writeFile(
      path,
      stringify(tinyStudy(folder, "results", { tasks: ["lesion-segmentation"], execution })),
    );
    return path;
  };

  it("is refused where its output or its cache cannot be written, with the field and the folder", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "file"), "");
    await expect(
      loadStudy(await studyIn(folder, { output: join(folder, "file", "x") })),
    ).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(
        /line \d+: execution\.output: expected a folder that can be written to.*file is no folder/,
      ),
    });
    await expect(loadStudy(await studyIn(folder, { cache: join(folder, "file") }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining("execution.cache: expected a folder"),
    });
  });

  it("is refused on a disk that is mounted to be read alone", async (context) => {
    const folder = await temporaryFolder();
    const disk = join(folder, "disk");
    await mkdir(disk);
    if (!mounted(disk, "size=64k,ro")) return context.skip();
    await expect(loadStudy(await studyIn(folder, { output: join(disk, "results") }))).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringMatching(/execution\.output.*read-only/),
    });
  });

  it("is told of a disk that is full already", async (context) => {
    const folder = await temporaryFolder();
    const disk = join(folder, "disk");
    await mkdir(disk);
    if (!mounted(disk, "size=8k")) return context.skip();
    await writeFile(join(disk, "filling"), "x".repeat(8192)).catch(() => {});
    await expect(loadStudy(await studyIn(folder, { output: join(disk, "results") }))).rejects.toMatchObject({
      code: "DISK_FULL",
      message: expect.stringContaining("Free some space"),
    });
  });
});

describe("doctor", () => {
  it("tries the folder in which it is called", async () => {
    const { findings } = await examineMachine();
    expect(findings.find(({ name }) => name === "this folder")).toMatchObject({
      status: "ok",
      detail: expect.stringContaining(`${process.cwd()} can hold a study`),
    });
  }, 60_000);
});

describe("a report", () => {
  it("is not written through a link out of the study's folder", async () => {
    const [folder, elsewhere] = [await temporaryFolder(), await temporaryFolder()];
    await writeStudyFolder(folder);
    await symlink(elsewhere, join(folder, "figures"));
    await expect(writeReport(folder)).rejects.toMatchObject({
      code: "BAD_FILE",
      message: expect.stringMatching(/figures is a link to .*Remove the link/),
    });
    expect(await readdir(elsewhere)).toEqual([]);
    expect(existsSync(join(folder, "report.html"))).toBe(false);
  });
});
