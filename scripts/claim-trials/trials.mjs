/*
 * Randomised trials of claiming a cell. In each, three processes, one of them on another "host" (its own host name, process
 * ids and clock), want to do one cell, while some are killed and some are frozen, for shorter or for longer than the time
 * after which they count as dead; files are dated ten minutes off. It is looked at: was the cell done exactly once, is it
 * whole, did any who was passed over write anything, and for how long was nobody at it.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, stat, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { damageOf } from "../../dist/common/checksums.js";
import { studyPaths } from "../../dist/results/paths.js";

const file = (name) => fileURLToPath(new URL(name, import.meta.url));
const otherHost = [
  ...["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"],
  ...["sh", "-c", 'hostname another-host && exec "$@"', "sh"],
];

/** Whether this machine lets a process have its own host name and process ids. */
export const hasOtherHosts = () => spawnSync(otherHost[0], [...otherHost.slice(1), "true"]).status === 0;

class Contender {
  #ended = false;

  constructor(place, slowDisk) {
    this.isElsewhere = place === "elsewhere";
    const imports = [
      ...(this.isElsewhere ? [`--import=${file("other-clock.mjs")}`] : []),
      ...(slowDisk ? [`--import=${file("slow-disk.mjs")}`] : []),
    ];
    const words = [
      ...(this.isElsewhere ? otherHost : []),
      ...[process.execPath, ...imports, file("contender.mjs")],
    ];
    this.child = spawn(words[0], words.slice(1), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.child.on("exit", () => {
      this.#ended = true;
    });
    this.ready = new Promise((resolve) => this.child.once("message", resolve));
  }

  get isAlive() {
    return !this.#ended;
  }

  /** The process itself, where another one started it in its own name space. */
  get #pid() {
    const { pid } = this.child;
    if (!this.isElsewhere) return pid;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
  }

  signal(name) {
    if (this.isAlive) process.kill(this.#pid, name);
  }

  kill() {
    this.#ended = true;
    this.child.kill("SIGKILL");
  }
}

/**
 * @param options.trials how many; `atOnce` of them side by side
 * @param options.deadAfter milliseconds without a sign of life after which a holder counts as dead
 * @param options.slowDisk without hard links, and with renames that take their time
 * @param options.careless with processes that do not ask before they write, the first of which is frozen at its work until
 *   another has done it: the trials must find them out
 */
export async function runTrials({
  trials,
  atOnce,
  seed,
  deadAfter,
  slowDisk = false,
  careless = false,
  onTrial = () => {},
}) {
  const random = xoroshiro128plus(seed);
  const uniform = (low, high) => low + ((high - low) * (random.next() >>> 0)) / 2 ** 32;
  const timing = { beatEvery: deadAfter / 12, deadAfter };
  const root = await mkdtemp(join(tmpdir(), "claim-trials-"));
  const folder = join(root, "study");
  await mkdir(studyPaths(folder).cells, { recursive: true });
  const found = {
    trials: 0,
    killed: 0,
    frozen: 0,
    passedOver: 0,
    notDone: [],
    doneTwice: [],
    damaged: [],
    otherErrors: [],
    longestUnclaimed: 0,
    longestTrial: 0,
  };
  let next = 0;
  const lane = async () => {
    const places = ["here", "here", hasOtherHosts() ? "elsewhere" : "here"];
    let contenders = places.map((place) => new Contender(place, slowDisk));
    while (next < trials) {
      const id = `cell-${next++}`;
      contenders = contenders.map((one, index) =>
        one.isAlive ? one : new Contender(places[index], slowDisk),
      );
      await Promise.all(contenders.map(({ ready }) => ready));
      const plan = {
        milliseconds: uniform(30, 400),
        // The first is never killed: somebody must be left to do it.
        actions: contenders.flatMap((_, index) => {
          if (careless) return [];
          const kind = uniform(0, 1);
          const at = uniform(0, 700);
          if (kind < 0.3) return index === 0 ? [] : [{ index, at, kind: "kill" }];
          if (kind < 0.7) return [{ index, at, kind: "freeze", for: uniform(0.2, 2.5) * deadAfter }];
          return [];
        }),
        datedOff: uniform(0, 1) < 0.5 ? -600 : 600,
      };
      await oneTrial({ folder, id, contenders, plan, timing, careless, found });
      found.trials++;
      onTrial(found);
    }
    for (const one of contenders) one.kill();
  };
  try {
    await Promise.all(Array.from({ length: atOnce }, lane));
  } finally {
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  }
  return found;
}

async function oneTrial({ folder, id, contenders, plan, timing, careless, found }) {
  const paths = studyPaths(folder);
  const began = performance.now();
  const published = [];
  /** Who claimed it last, and since when nobody is at it. */
  let holder = null;
  let leftAt = null;
  /** The one that is frozen until another has published. */
  let frozen = null;
  const freeze = (index) => {
    frozen = index;
    found.frozen++;
    contenders[index].signal("SIGSTOP");
  };
  const over = contenders.map(
    (one, index) =>
      new Promise((resolve) => {
        const hear = (message) => {
          if (message.id !== id) return;
          if (message.kind === "claimed") {
            if (leftAt !== null && holder !== index)
              found.longestUnclaimed = Math.max(found.longestUnclaimed, performance.now() - leftAt);
            [holder, leftAt] = [index, null];
          }
          if (message.kind === "working" && careless && frozen === null) freeze(index);
          if (message.kind === "published") {
            published.push(message.token);
            if (frozen !== null) contenders[frozen].signal("SIGCONT");
          }
          if (message.kind === "damaged") found.damaged.push(id);
          if (message.kind === "refused") {
            if (message.code === "TAKEN_OVER") found.passedOver++;
            else found.otherErrors.push(`${id}: ${message.message}`);
          }
          if (message.kind === "over") end();
        };
        const end = () => {
          one.child.off("message", hear);
          one.child.off("exit", end);
          resolve();
        };
        one.child.on("message", hear);
        one.child.on("exit", end);
        one.child.send({ folder, id, timing, milliseconds: plan.milliseconds, careless });
      }),
  );
  const acting = plan.actions.map(async (action) => {
    await sleep(action.at);
    const one = contenders[action.index];
    if (!one.isAlive) return;
    if (holder === action.index && published.length === 0) leftAt = performance.now();
    if (action.kind === "kill") {
      found.killed++;
      return one.kill();
    }
    found.frozen++;
    one.signal("SIGSTOP");
    await sleep(action.for);
    one.signal("SIGCONT");
  });
  /** Every folder that was seen under the cell's name: also one that was replaced at once is told by its number. */
  const folders = new Set();
  const looking = setInterval(() => {
    void dateOff(paths.cellLock(id), plan.datedOff);
    stat(paths.cell(id)).then(
      ({ ino }) => folders.add(ino),
      () => {},
    );
  }, 25);
  const patience = 3 * (timing.deadAfter * 2.5 + plan.milliseconds) + 60_000;
  const inTime = await Promise.race([
    Promise.all([...over, ...acting]).then(() => true),
    sleep(patience, false, { ref: false }),
  ]);
  clearInterval(looking);
  found.longestTrial = Math.max(found.longestTrial, performance.now() - began);
  if (!inTime) return found.notDone.push(`${id}: nobody finished it within ${patience} ms`);
  if (!existsSync(paths.cell(id))) return found.notDone.push(`${id}: it is not there`);
  const reason = await damageOf(paths.cell(id), /^$/);
  const tokens = new Set(
    readdirSync(paths.cell(id))
      .filter((name) => name.startsWith("part-"))
      .map((name) => readFileSync(join(paths.cell(id), name), "utf8")),
  );
  if ((reason !== null && !careless) || tokens.size !== 1) found.damaged.push(`${id}: ${reason}`);
  // A process that was killed once it had published could not say so.
  folders.add((await stat(paths.cell(id))).ino);
  if (folders.size > 1 || published.length > 1 || published.some((token) => !tokens.has(token)))
    found.doneTwice.push(id);
}

async function dateOff(folder, seconds) {
  const date = new Date(Date.now() + 1000 * seconds);
  for (const name of await readdir(folder).catch(() => []))
    await utimes(join(folder, name), date, date).catch(() => {});
  if ((await stat(folder).catch(() => null)) !== null) await utimes(folder, date, date).catch(() => {});
}
