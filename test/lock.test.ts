import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { lockStudy, whileLocked } from "../dist/study/lock.js";
import { startContender } from "./lock-contender.js";
import { temporaryFolder } from "./temporary-folder.js";

describe("the lock of a study's folder", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it("is held by one at a time, and named in the error", async () => {
    const unlock = await lockStudy(folder);
    await expect(lockStudy(folder)).rejects.toMatchObject({
      code: "BUSY",
      message: expect.stringContaining(`Process ${process.pid}`),
    });
    await unlock();
    await (await lockStudy(folder))();
  });

  it("is taken over from a process that is dead", async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    await writeFile(
      join(folder, ".lock"),
      JSON.stringify({ host: hostname(), pid: child.pid, started: "1" }),
    );
    await (await lockStudy(folder))();
  });

  it("is taken over from a process whose id belongs to another one now", async () => {
    await writeFile(
      join(folder, ".lock"),
      JSON.stringify({ host: hostname(), pid: process.pid, started: "1" }),
    );
    const unlock = await lockStudy(folder);
    expect(JSON.parse(await readFile(join(folder, ".lock"), "utf8")).started).not.toBe("1");
    await unlock();
  });

  it("of another host stands, with what to do about it", async () => {
    await writeFile(join(folder, ".lock"), JSON.stringify({ host: "elsewhere", pid: 1, started: "1" }));
    await expect(lockStudy(folder)).rejects.toMatchObject({
      code: "BUSY",
      message: expect.stringContaining("delete"),
    });
  });

  it("leaves nothing in the folder once it is given back, and removes what killed processes left", async () => {
    await writeFile(join(folder, ".lock-5b7d8f0e-draft"), "{}");
    await mkdir(join(folder, ".lock-5b7d8f0e-folder"));
    const dead = startContender();
    expect(await dead.lock(folder)).toBe(true);
    const { pid, started } = JSON.parse(await readFile(join(folder, ".lock"), "utf8"));
    expect(pid).toBe(dead.pid);
    await dead.kill();
    await writeFile(join(folder, `.lock-${"0".repeat(16)}`), started);
    await (await lockStudy(folder))();
    expect(await readdir(folder)).toEqual([]);
  });

  it.each<[string, (path: string) => unknown]>([
    ["a link that leads nowhere", (path) => symlink("nowhere", path)],
    ["a link to itself", (path) => symlink(".lock", path)],
    ["a pipe", (path) => execFileSync("mkfifo", [path])],
    ["a file of no bytes", (path) => writeFile(path, "")],
    ["a file of something else", (path) => writeFile(path, '{"host":3}')],
  ])("is taken where %s lies in its place", async (_, put) => {
    await put(join(folder, ".lock"));
    const unlock = await lockStudy(folder);
    await expect(lockStudy(folder)).rejects.toMatchObject({ code: "BUSY" });
    await unlock();
    expect(await readdir(folder)).toEqual([]);
  });

  it("that cannot be given back does not hide why the work failed", async () => {
    const work = async () => {
      await rm(folder, { recursive: true });
      await writeFile(folder, "no folder any more");
      throw new Error("the work's own");
    };
    await expect(whileLocked(folder, work)).rejects.toThrow("the work's own");
    await rm(folder);
  });

  it("that was removed by hand and taken by another is not removed by the first", async () => {
    const unlock = await lockStudy(folder);
    const other = JSON.stringify({ host: "elsewhere", pid: 1, started: "1" });
    await writeFile(join(folder, ".lock"), other);
    await unlock();
    expect(await readFile(join(folder, ".lock"), "utf8")).toBe(other);
  });
});

describe("a lock that a killed process left, and several that start at once", () => {
  it.each([
    [3, 120],
    [4, 80],
    [8, 40],
  ])(
    "of %i processes exactly one gets it, in each of %i rounds",
    async (count, rounds) => {
      const parent = await temporaryFolder();
      const dead = startContender();
      expect(await dead.lock(parent)).toBe(true);
      const stale = await readFile(join(parent, ".lock"));
      await dead.kill();
      const contenders = Array.from({ length: count }, () => startContender());
      const winners: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const folder = join(parent, String(round));
        await mkdir(folder);
        await writeFile(join(folder, ".lock"), stale);
        const answers = await Promise.all(contenders.map((one) => one.lock(folder)));
        winners.push(answers.filter((answer) => answer === true).length);
        for (const answer of answers) expect([true, "BUSY"]).toContain(answer);
        await Promise.all(contenders.map((one) => one.unlock()));
        expect(await readdir(folder)).toEqual([]);
      }
      await Promise.all(contenders.map((one) => one.kill()));
      expect(winners).toEqual(Array(rounds).fill(1));
    },
    120_000,
  );
});

const inAnotherNamespace = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const canUnshare =
  spawnSync(inAnotherNamespace[0] as string, [...inAnotherNamespace.slice(1), "true"]).status === 0;

describe.skipIf(!canUnshare)("two name spaces of process ids on one host", () => {
  it("do not take each other's locks, as they cannot see whether the owner lives", async () => {
    const folder = await temporaryFolder();
    const inside = startContender(inAnotherNamespace);
    expect(await inside.lock(folder)).toBe(true);
    await expect(lockStudy(folder)).rejects.toMatchObject({
      code: "BUSY",
      message: expect.stringMatching(/in another container, whose end cannot be seen from here.*delete/),
    });
    await inside.unlock();
    const unlock = await lockStudy(folder);
    expect(await inside.lock(folder)).toBe("BUSY");
    await unlock();
    await inside.kill();
  });
});
