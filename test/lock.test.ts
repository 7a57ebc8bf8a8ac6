import { execFileSync, spawnSync } from "node:child_process";
import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { Lock, LockWatch, lockTiming, takeLock, whileLocked } from "../dist/common/lock.js";
import { startContender } from "./lock-contender.js";
import { temporaryFolder } from "./temporary-folder.js";

/** A sign of life every twentieth of a second, and dead after one second without. */
const short = { beatEvery: 50, deadAfter: 1000 };
/** The same, but nobody is ever taken for dead. */
const patient = { beatEvery: 50, deadAfter: 600_000 };

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  path = join(folder, ".lock");
});

/** What the holder says of itself, in the file of the highest number. */
const holderFile = async (): Promise<string> => {
  const turns = (await readdir(path)).map(Number);
  return join(path, String(Math.max(...turns)));
};

describe("a lock", () => {
  it("is held by one at a time, and its holder named in the refusal", async () => {
    const lock = await takeLock(path, { timing: patient });
    await expect(takeLock(path, { timing: patient, what: "the study" })).rejects.toMatchObject({
      code: "BUSY",
      message: `Process ${process.pid} already works in the study.`,
    });
    await lock.release();
    await (await takeLock(path)).release();
  });

  it("names host, process and start of its holder, and after how long without a sign of life that is dead", async () => {
    const lock = await takeLock(path, { timing: short });
    const [first = ""] = (await readFile(await holderFile(), "utf8")).split("\n");
    expect(JSON.parse(first)).toMatchObject({
      host: hostname(),
      pid: process.pid,
      started: expect.stringMatching(/^\d+$/),
      deadAfter: 1000,
    });
    await lock.release();
  });

  it("leaves one small file that says that nobody holds it, however often it was held", async () => {
    for (let times = 0; times < 5; times++) await (await takeLock(path)).release();
    expect(await readdir(path)).toEqual(["10"]);
    expect(await readFile(join(path, "10"), "utf8")).toBe('{"held":false}\n');
  });

  it("of a process that was killed is taken over at once on the same host", async () => {
    const dead = startContender();
    expect(await dead.lock(path, patient)).toBe(true);
    await dead.kill();
    await (await takeLock(path, { timing: patient })).release();
  });

  it("is taken over at once where the holder's id belongs to another process now", async () => {
    const lock = await takeLock(path, { timing: patient });
    const text = await readFile(await holderFile(), "utf8");
    await lock.release();
    const owner = { ...JSON.parse(text.split("\n")[0] as string), started: "1" };
    await writeFile(join(path, "3"), `${JSON.stringify(owner)}\nx 000000000000\n`);
    const next = await takeLock(path, { timing: patient });
    expect(next.turn).toBe(4);
    await next.release();
  });

  it.each<[string, (path: string) => unknown]>([
    ["a link that leads nowhere", (at) => symlink("nowhere", at)],
    ["a link to itself", (at) => symlink(".lock", at)],
    ["a pipe", (at) => execFileSync("mkfifo", [at])],
    ["a file of no bytes", (at) => writeFile(at, "")],
    ["a file of something else", (at) => writeFile(at, '{"host":3}')],
  ])("is taken where %s lies in its place", async (_, put) => {
    await put(path);
    const lock = await takeLock(path, { timing: patient });
    await expect(takeLock(path, { timing: patient })).rejects.toMatchObject({ code: "BUSY" });
    await lock.release();
  });

  it.each<[string, (at: string) => unknown]>([
    ["an empty file", (at) => writeFile(at, "")],
    ["half of a holder's words", (at) => writeFile(at, '{"host":"elsew')],
    ["a folder", (at) => mkdir(at)],
    ["a pipe", (at) => execFileSync("mkfifo", [at])],
  ])("whose highest number is %s is taken once that did not change for long enough", async (_, put) => {
    await mkdir(path);
    await put(join(path, "7"));
    const began = performance.now();
    const lock = await takeLock(path, { timing: short });
    expect(performance.now() - began).toBeGreaterThan(1000);
    expect(lock.turn).toBe(8);
    await lock.release();
  });

  it("that cannot be given back does not hide why the work failed", async () => {
    const work = async () => {
      await rm(folder, { recursive: true });
      await writeFile(folder, "no folder any more");
      throw new Error("the work's own");
    };
    await expect(whileLocked(path, work)).rejects.toThrow("the work's own");
    await rm(folder);
  });

  it("that was removed by hand and taken by another is lost to the first, who gives nothing back", async () => {
    const first = await takeLock(path, { timing: patient });
    await rm(path, { recursive: true });
    const other = await takeLock(path, { timing: patient });
    await expect(first.requireHeld()).rejects.toMatchObject({ code: "TAKEN_OVER" });
    await first.release();
    await other.requireHeld();
    await other.release();
  });

  it("is waited for where that is asked, and who is waited for is told once", async () => {
    const first = await takeLock(path, { timing: short });
    const waited: number[] = [];
    const second = takeLock(path, { timing: short, onWait: ({ owner }) => waited.push(owner?.pid ?? 0) });
    await sleep(300);
    await first.release();
    await (await second).release();
    expect(waited).toEqual([process.pid]);
  });

  it("takes the time after which a holder is dead from the environment, and refuses what is none", () => {
    expect(lockTiming({})).toEqual({ beatEvery: 5000, deadAfter: 60_000 });
    expect(lockTiming({ TRANSFER_LIMITS_DEAD_AFTER: "12" })).toEqual({ beatEvery: 1000, deadAfter: 12_000 });
    for (const given of ["0", "soon", "-3", "1e9"])
      expect(() => lockTiming({ TRANSFER_LIMITS_DEAD_AFTER: given })).toThrow(
        expect.objectContaining({ code: "BAD_CONFIG" }),
      );
  });
});

describe("a holder that is frozen for longer than it stated", () => {
  it("is passed over by one who watched it for that long, and notices as soon as it goes on", async () => {
    const frozen = startContender();
    expect(await frozen.lock(path, short)).toBe(true);
    expect(await frozen.isHeld()).toBe(true);
    frozen.signal("SIGSTOP");
    const began = performance.now();
    const lock = await takeLock(path, { timing: short });
    expect(performance.now() - began).toBeGreaterThan(1000);
    frozen.signal("SIGCONT");
    expect(await frozen.isHeld()).toBe("TAKEN_OVER");
    await frozen.unlock();
    await lock.requireHeld();
    await lock.release();
    await frozen.kill();
  });

  it("keeps the lock where it goes on in time", async () => {
    const frozen = startContender();
    const timing = { beatEvery: 50, deadAfter: 20_000 };
    expect(await frozen.lock(path, timing)).toBe(true);
    frozen.signal("SIGSTOP");
    const other = takeLock(path, { timing });
    await sleep(500);
    frozen.signal("SIGCONT");
    await expect(other).rejects.toMatchObject({ code: "BUSY" });
    expect(await frozen.isHeld()).toBe(true);
    await frozen.kill();
  });
});

describe("one who watches a lock", () => {
  it("goes by what the holder stated, not by its own patience", async () => {
    const frozen = startContender();
    expect(await frozen.lock(path, patient)).toBe(true);
    frozen.signal("SIGSTOP");
    const watch = new LockWatch(path, { beatEvery: 1, deadAfter: 10 });
    for (let looks = 0; looks < 5; looks++) {
      expect(await watch.take()).toMatchObject({ owner: { pid: frozen.pid }, isAlive: false });
      await sleep(50);
    }
    await frozen.kill();
    const lock = await watch.take();
    expect(lock).toBeInstanceOf(Lock);
    await (lock as Lock).release();
  });

  it.each([-600, 600])("asks no clock: files dated %i seconds off change nothing", async (seconds) => {
    const off = new Date(Date.now() + 1000 * seconds);
    const alive = startContender();
    expect(await alive.lock(path, short)).toBe(true);
    const dating = setInterval(async () => {
      for (const name of await readdir(path)) await utimes(join(path, name), off, off).catch(() => {});
      await utimes(path, off, off).catch(() => {});
    }, 10);
    await expect(takeLock(path, { timing: short })).rejects.toMatchObject({ code: "BUSY" });
    alive.signal("SIGSTOP");
    const began = performance.now();
    const lock = await takeLock(path, { timing: short });
    expect(performance.now() - began).toBeGreaterThan(900);
    clearInterval(dating);
    await lock.release();
    await alive.kill();
  });
});

describe("a lock that a killed process left, and several that start at once", () => {
  it.each([
    [3, 40],
    [8, 20],
  ])(
    "of %i processes exactly one gets it, in each of %i rounds",
    async (count, rounds) => {
      const timing = { beatEvery: 20, deadAfter: 60_000 };
      const contenders = Array.from({ length: count }, () => startContender());
      const winners: number[] = [];
      for (let round = 0; round < rounds; round++) {
        const at = join(folder, String(round));
        const dead = await takeLock(at, { timing });
        const stale = await readFile(join(at, String(dead.turn)), "utf8");
        await dead.release();
        const owner = { ...JSON.parse(stale.split("\n")[0] as string), started: "1" };
        await writeFile(join(at, String(dead.turn + 2)), `${JSON.stringify(owner)}\nx 0\n`);
        const answers = await Promise.all(contenders.map((one) => one.lock(at, timing)));
        winners.push(answers.filter((answer) => answer === true).length);
        for (const answer of answers) expect([true, "BUSY"]).toContain(answer);
        await Promise.all(contenders.map((one) => one.unlock()));
      }
      await Promise.all(contenders.map((one) => one.kill()));
      expect(winners).toEqual(Array(rounds).fill(1));
    },
    120_000,
  );
});

const inAnotherNamespace = [
  ...["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"],
  ...["sh", "-c", 'hostname another-host && exec "$@"', "sh"],
];
const canUnshare =
  spawnSync(inAnotherNamespace[0] as string, [...inAnotherNamespace.slice(1), "true"]).status === 0;

describe.skipIf(!canUnshare)("two hosts, which cannot see each other's processes", () => {
  it("leave each other's lock alone while its holder gives signs of life", async () => {
    const inside = startContender(inAnotherNamespace);
    expect(await inside.host()).toBe("another-host");
    expect(await inside.lock(path, patient)).toBe(true);
    await expect(takeLock(path, { timing: patient })).rejects.toMatchObject({
      code: "BUSY",
      message: expect.stringContaining(`Process 1 on "another-host"`),
    });
    await inside.unlock();
    const lock = await takeLock(path, { timing: patient });
    expect(await inside.lock(path, patient)).toBe("BUSY");
    await lock.release();
    await inside.kill();
  });

  it("take over from one that died, after the time that it stated", async () => {
    const inside = startContender(inAnotherNamespace);
    expect(await inside.lock(path, short)).toBe(true);
    await inside.kill();
    const began = performance.now();
    const lock = await takeLock(path, { timing: short });
    expect(performance.now() - began).toBeGreaterThan(1000);
    await lock.release();
  });
});
