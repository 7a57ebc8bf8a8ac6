import { throwIfAborted } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import type { BenchResult, BenchSettings, Comparison, Figure, Floor } from "./case.js";
import { type PeerHost, type PeerProcess, PeerUnavailable } from "./peer-host.js";
import { ratioOf, relativeError, type Timing, timingOf } from "./timing.js";

/** Our side of a comparison, ready to run. */
export interface Work extends Disposable {
  /** One run. The time until it settles is what is measured. */
  run(): Promise<void>;
  /** A sample of what the last run computed, as the peers give it. */
  answer(): Promise<number[]>;
}

/** A peer that is asked to do the same. */
export interface PeerWish {
  /** As the peers' program knows it. */
  peer: string;
  group: string;
  atLeast?: number;
}

export interface Alternation {
  name: string;
  title: string;
  /** The work's name in the peers' program, and what it needs to do the same. */
  work: string;
  options: Record<string, unknown>;
  ours: () => Promise<Work>;
  peers: PeerWish[];
  floor: Floor | null;
  /**
   * Whether such runs follow one another where they are made, as steps of training do: each turn of a side then begins with
   * one that is not timed, which finds the side's memory as the other sides left it.
   */
  inARow?: boolean;
  tolerance?: number;
  figures?: () => Promise<Figure[]>;
}

/**
 * Times our side and its peers in turn: ours, a peer, the next peer, ours, ... Every side runs once before, untimed; its
 * answer then is compared with the others' and with a float64 reference, so that all are known to compute the same.
 */
export async function alternate(wish: Alternation, settings: BenchSettings): Promise<BenchResult> {
  const sides: Side[] = [];
  try {
    return await alternateWith(sides, wish, settings);
  } finally {
    for (const { process } of sides) await process?.[Symbol.asyncDispose]();
  }
}

/** One peer: a process of its own, so that what goes wrong with it takes no other peer with it. */
interface Side {
  wish: PeerWish;
  process: PeerProcess | null;
  seconds: number[];
  answer: number[] | null;
  difference: number | null;
  versions: Record<string, string>;
  failure: string | null;
}

/** Threads of the run before may still wait for more work without sleeping: some libraries' do so for 50 ms. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 200));

async function alternateWith(
  sides: Side[],
  wish: Alternation,
  settings: BenchSettings,
): Promise<BenchResult> {
  const { runs, signal, peers } = settings;
  const options = { ...wish.options, threads: settings.threads, device: settings.device };
  using ours = await wish.ours();

  settings.say(`${wish.name}: preparing`);
  await timed(ours, settings.device);
  const answer = await ours.answer();
  for (const peer of wish.peers) {
    throwIfAborted(signal);
    settings.say(`${wish.name}: preparing ${peer.peer}`);
    const side = startSide(peer, settings);
    sides.push(side);
    await attempt(side, async (process) => {
      side.versions = await process.prepare(wish.work, peer.peer, options);
      await process.run(peer.peer);
      side.answer = await process.answer(peer.peer);
      side.difference = relativeError(answer, side.answer);
      await process.run(peer.peer); // a compiled one may compile again for its second call
    });
  }
  const reference =
    peers && sides.some(({ failure }) => failure === null)
      ? await referenceOf(wish.work, options, peers, signal)
      : null;

  const own: number[] = [];
  for (let round = 1; round <= runs; round++) {
    throwIfAborted(signal);
    settings.say(`${wish.name}: run ${round} of ${runs}`);
    await settle();
    if (wish.inARow) await timed(ours, settings.device);
    own.push(await timed(ours, settings.device));
    for (const side of sides) {
      await attempt(side, async (process) => {
        await settle();
        if (wish.inARow) await process.run(side.wish.peer);
        side.seconds.push(await process.run(side.wish.peer));
      });
    }
  }
  throwIfAborted(signal);

  const timing = timingOf(own);
  return {
    name: wish.name,
    title: wish.title,
    ours: timing,
    comparisons: sides.map((side) => comparisonOf(side, timing, reference)),
    figures: (await wish.figures?.()) ?? [],
    error: reference && relativeError(answer, reference),
    tolerance: wish.tolerance ?? null,
    floor: wish.floor,
    versions: Object.assign({}, ...sides.map(({ versions }) => versions)) as Record<string, string>,
  };
}

const startSide = (wish: PeerWish, { peers, signal }: BenchSettings): Side => ({
  wish,
  process: peers?.open(signal) ?? null,
  seconds: [],
  answer: null,
  difference: null,
  versions: {},
  failure: peers === null ? "peers were not asked for (--no-peers)" : null,
});

/** Asks something of a peer that has not failed yet; what it cannot do is its failure, and nobody else's. */
async function attempt(side: Side, work: (process: PeerProcess) => Promise<void>): Promise<void> {
  if (side.failure !== null || side.process === null) return;
  try {
    await work(side.process);
  } catch (error) {
    if (!(error instanceof PeerUnavailable)) throw error;
    side.failure = error.message;
  }
}

/** The answer in float64, by a process that is not there while runs are timed; null where it cannot be had. */
async function referenceOf(
  work: string,
  options: object,
  peers: PeerHost,
  signal: AbortSignal | undefined,
): Promise<number[] | null> {
  await using process = peers.open(signal);
  try {
    return await process.reference(work, options);
  } catch (error) {
    if (error instanceof PeerUnavailable) return null;
    throw error;
  }
}

function comparisonOf(side: Side, ours: Timing, reference: number[] | null): Comparison {
  const timing = side.failure === null && side.seconds.length > 0 ? timingOf(side.seconds) : null;
  return {
    peer: side.wish.peer,
    group: side.wish.group,
    timing,
    ...(side.failure !== null && { unavailable: side.failure }),
    ratio: timing && ratioOf(ours, timing),
    atLeast: side.wish.atLeast ?? null,
    difference: side.difference,
    error: side.answer && reference ? relativeError(side.answer, reference) : null,
  };
}

/** The seconds of one run, until the device has finished it. */
async function timed(work: Work, device: string): Promise<number> {
  const started = performance.now();
  await work.run();
  if (device !== "cpu") await finished(device);
  return (performance.now() - started) / 1000;
}

/** Work is done in order: once a number that was put last comes back, all before it is done. */
async function finished(device: string): Promise<void> {
  using last = Tensor.from(new Float32Array(1), [1], device);
  await last.toArray();
}
