import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { hostname, networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf, TransferLimitsError } from "../../common/errors.js";
import { codedError } from "../../common/system-errors.js";
import { type JoinOptions, RankStore, Ranks } from "../../native/ranks.js";
import { buildInfo } from "../../native/runtime.js";
import type { RanksStart, StartedRanks } from "../cell/work-on-cell.js";
import { absentDevice, absentInWords } from "../plan/devices.js";
import type { StartedRank } from "./rank-environment.js";
import { trainAlong } from "./train-along.js";

/*
 * Processes that a launcher started meet in a store: rank 0 works as it would alone, and leaves word there of every cell that it
 * begins to train, turn by turn. The others wait for the next turn, and train along.
 */

/** Where the processes that were started together meet, and as which of them this one comes. */
export interface Meeting extends Pick<StartedRank, "by" | "rank" | "ranks" | "localRank"> {
  place: Required<Pick<JoinOptions, "rank" | "ranks" | "host" | "port" | "prefix" | "address">>;
}

/** What rank 0 tells the others. */
type Word = { kind: "train"; folder: string; start: RanksStart } | { kind: "over"; failed: boolean };

/** What one of the others says of a turn that it cannot take part in. */
interface Failure {
  rank: number;
  code: string;
  reason: string;
}

/** How often is looked for words of others, in milliseconds. */
const pause = 250;

/** How long those that are left have to say so when one has ended, and to hear that all is over. */
const patience = 5000;

async function meetingOf(started: StartedRank): Promise<Meeting> {
  const { by, rank, ranks, localRank, host, port, attempt } = started;
  const prefix = `transfer-limits/${attempt}`;
  return {
    ...{ by, rank, ranks, localRank },
    place: { rank, ranks, host, port, prefix, address: await addressOf(started) },
  };
}

/** The address by which the others reach this process: that of the network over which it reaches the host where all meet. */
async function addressOf({ host, port, networkInterface }: StartedRank): Promise<string> {
  if (networkInterface !== null) {
    const [own] = networkInterfaces()[networkInterface] ?? [];
    if (own !== undefined) return own.address;
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected the name of a network interface for GLOO_SOCKET_IFNAME (${Object.keys(networkInterfaces()).join(", ")}) but received ${networkInterface}`,
    );
  }
  const found = await lookup(host).catch((error: Error) => {
    throw new TransferLimitsError(
      "BAD_CONFIG",
      `Expected a host that can be found, for the processes to meet there, but received ${host}: ${error.message}`,
    );
  });
  const socket = createSocket(found.family === 6 ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.connect(port, found.address, resolve);
    });
    return socket.address().address;
  } finally {
    socket.close();
  }
}

/** Runs a command as rank 0 of those that were started together, and tells the others when it is over. */
export async function lead(
  started: StartedRank,
  run: (meeting: Meeting) => Promise<{ failed: boolean }>,
): Promise<void> {
  const meeting = await meetingOf(started);
  using store = await RankStore.open({ ...meeting.place, serves: !started.isServed });
  let failed = true;
  try {
    ({ failed } = await run(meeting));
  } finally {
    await nextTurn(store).then(({ leave }) => leave({ kind: "over", failed }));
    // They lose the store with this process.
    await whoHasNot(store, "heard", meeting.ranks);
  }
}

/** Takes part in what rank 0 trains until that one says that it is over, and answers whether it ended well. */
export async function takePart(started: StartedRank): Promise<boolean> {
  const meeting = await meetingOf(started);
  using store = await RankStore.open(meeting.place);
  await store.leave(`who/${meeting.rank}`, `process ${process.pid} on ${hostname()}`);
  for (let turn = 0; ; turn++) {
    let left = await store.find(`turn/${turn}`);
    while (left === null) {
      await sleep(pause);
      left = await store.find(`turn/${turn}`);
    }
    const word: Word = JSON.parse(left);
    if (word.kind === "over") {
      await store.leave(`heard/${meeting.rank}`, "");
      return !word.failed;
    }
    await takeTurn(store, meeting, turn, word);
  }
}

async function takeTurn(
  store: RankStore,
  { place, rank, localRank }: Meeting,
  turn: number,
  { folder, start }: Extract<Word, { kind: "train" }>,
): Promise<void> {
  try {
    await trainAlong(folder, start, deviceOf(start.device, localRank), placeOfTurn(place, turn));
  } catch (error) {
    const coded = codedError(error);
    const code = coded instanceof TransferLimitsError ? coded.code : "INTERNAL";
    if (code === "RANK_DIED") return store.leave(`alive/${turn}/${rank}`, "");
    const failure: Failure = { rank, code, reason: messageOf(coded) };
    await store.leave(`failed/${turn}`, JSON.stringify(failure));
  }
}

/** Each process has a GPU of its own: the only one that its launcher lets it see, or that of its number on its machine. */
function deviceOf(device: string, localRank: number): string {
  if (device === "cpu") return device;
  const own = buildInfo().devices.length === 1 ? "cuda:0" : `cuda:${localRank}`;
  const absent = absentDevice([own]);
  if (absent !== null) throw new TransferLimitsError("BAD_CONFIG", absentInWords(absent));
  return own;
}

/** What is left for each turn stands apart from that of others. */
const placeOfTurn = (place: Meeting["place"], turn: number): JoinOptions => ({
  ...place,
  prefix: `${place.prefix}/${turn}`,
});

async function nextTurn(store: RankStore) {
  let turn = 0;
  while ((await store.find(`turn/${turn}`)) !== null) turn++;
  return { turn, leave: (word: Word) => store.leave(`turn/${turn}`, JSON.stringify(word)) };
}

/** The ranks that have not left that word by the time that they have. */
async function whoHasNot(store: RankStore, word: string, ranks: number): Promise<number[]> {
  const until = performance.now() + patience;
  let missing = Array.from({ length: ranks - 1 }, (_, index) => index + 1);
  for (;;) {
    const found = await Promise.all(missing.map((rank) => store.find(`${word}/${rank}`)));
    missing = missing.filter((_, index) => found[index] === null);
    if (missing.length === 0 || performance.now() > until) return missing;
    await sleep(pause);
  }
}

/** Tells the others of a cell, and joins them as rank 0. */
export async function joinStarted(
  { place, ranks: count }: Meeting,
  folder: string,
  start: RanksStart,
): Promise<StartedRanks> {
  const store = await RankStore.open(place);
  const { turn, leave } = await nextTurn(store);
  await leave({ kind: "train", folder, start });
  const nameOf = async (rank: number) => {
    const who = await store.find(`who/${rank}`);
    return `Rank ${rank} of ${count} (${who ?? "which never came"})`;
  };
  const ended = new AbortController();
  const watch = async (): Promise<never> => {
    for (;;) {
      await sleep(pause, undefined, { signal: ended.signal, ref: false });
      const left = await store.find(`failed/${turn}`);
      if (left === null) continue;
      const { rank, code, reason }: Failure = JSON.parse(left);
      // What one rank runs out of, a second try may mend for all.
      const own = code === "OUT_OF_MEMORY" ? code : "RANK_DIED";
      throw new TransferLimitsError(own, `${await nameOf(rank)} failed: ${reason}`);
    }
  };
  const died = watch();
  died.catch(() => {});
  const leaveThem = async () => {
    ended.abort();
    store[Symbol.dispose]();
  };
  try {
    const ranks = await Promise.race([died, Ranks.join(placeOfTurn(place, turn))]);
    return {
      ranks,
      died,
      async whyLost() {
        const missing = await Promise.race([died, whoHasNot(store, `alive/${turn}`, count)]);
        if (missing.length === 0) return;
        const names = await Promise.all(missing.map(nameOf));
        const words = `${names.join(", ")} ended, or cannot be reached any more`;
        throw new TransferLimitsError("RANK_DIED", `${words}. Run it again to go on from the last epoch`);
      },
      async [Symbol.asyncDispose]() {
        ranks.dispose();
        await leaveThem();
      },
    };
  } catch (error) {
    await leaveThem();
    throw error;
  }
}

/** @throws `BAD_CONFIG` where a study wants another number of processes than were started */
export function requireAsMany(ranks: number, { by, ranks: started }: Meeting): void {
  if (ranks === started) return;
  throw new TransferLimitsError(
    "BAD_CONFIG",
    `Expected as many processes as the study trains a cell with, execution.ranks: ${ranks}, but ${by} started ${started}. ` +
      `Start ${ranks}, or set execution.ranks: ${started} and prepare the study again`,
  );
}
