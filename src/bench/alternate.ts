import { throwIfAborted } from "../common/errors.js";
import { Tensor } from "../native/tensor.js";
import type { BenchResult, BenchSettings, Comparison, Figure, Floor } from "./case.js";
import { type PeerProcess, PeerUnavailable } from "./peer-host.js";
import { ratioOf, relativeError, type Timing, timingOf } from "./summary.js";

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
  /** Null where the addon cannot do it; `unavailable` says why. */
  ours: (() => Promise<Work>) | null;
  unavailable?: string;
  peers: PeerWish[];
  floor: Floor | null;
  tolerance?: number;
  figures?: () => Promise<Figure[]>;
}

/**
 * Times our side and its peers in turn: ours, a peer, the next peer, ours, ... Every side runs once before, untimed; its
 * answer then is compared with the others' and with a float64 reference, so that all are known to compute the same.
 */
export async function alternate(wish: Alternation, settings: BenchSettings): Promise<BenchResult> {
  const { runs, signal } = settings;
  const options = { ...wish.options, threads: settings.threads, device: settings.device };
  await using process = settings.peers?.open(signal) ?? null;
  using ours = (await wish.ours?.()) ?? null;

  settings.say(`${wish.name}: preparing`);
  let answer: number[] | null = null;
  if (ours !== null) {
    await timed(ours, settings.device);
    answer = await ours.answer();
  }
  const sides = process ? await prepare(wish, options, process, answer, settings) : wish.peers.map(absent);
  const reference = process && (await process.reference(wish.work, options).catch(ignoreUnavailable));

  const own: number[] = [];
  for (let round = 1; round <= runs; round++) {
    throwIfAborted(signal);
    settings.say(`${wish.name}: run ${round} of ${runs}`);
    if (ours !== null) own.push(await timed(ours, settings.device));
    for (const side of sides) {
      if (side.failure !== null || process === null) continue;
      try {
        side.seconds.push(await process.run(side.wish.peer));
      } catch (error) {
        side.failure = reasonOf(error);
      }
    }
  }

  const timing = own.length > 0 ? timingOf(own) : null;
  return {
    name: wish.name,
    title: wish.title,
    ours: timing,
    ...(wish.unavailable !== undefined && { unavailable: wish.unavailable }),
    comparisons: sides.map((side) => comparisonOf(side, timing, reference)),
    figures: (await wish.figures?.()) ?? [],
    error: answer && reference ? relativeError(answer, reference) : null,
    tolerance: wish.tolerance ?? null,
    floor: wish.floor,
    versions: Object.assign({}, ...sides.map(({ versions }) => versions)) as Record<string, string>,
  };
}

interface Side {
  wish: PeerWish;
  seconds: number[];
  answer: number[] | null;
  difference: number | null;
  versions: Record<string, string>;
  failure: string | null;
}

const absent = (wish: PeerWish): Side => ({
  wish,
  seconds: [],
  answer: null,
  difference: null,
  versions: {},
  failure: "peers were not asked for (--no-peers)",
});

async function prepare(
  wish: Alternation,
  options: object,
  process: PeerProcess,
  ours: number[] | null,
  settings: BenchSettings,
): Promise<Side[]> {
  const sides: Side[] = [];
  for (const peer of wish.peers) {
    throwIfAborted(settings.signal);
    settings.say(`${wish.name}: preparing ${peer.peer}`);
    const side: Side = { ...absent(peer), failure: null };
    try {
      side.versions = await process.prepare(wish.work, peer.peer, options);
      await process.run(peer.peer);
      side.answer = await process.answer(peer.peer);
      side.difference = ours && relativeError(ours, side.answer);
      await process.run(peer.peer); // a compiled one may compile again for its second call
    } catch (error) {
      side.failure = reasonOf(error);
    }
    sides.push(side);
  }
  return sides;
}

function comparisonOf(side: Side, ours: Timing | null, reference: number[] | null): Comparison {
  const timing = side.failure === null && side.seconds.length > 0 ? timingOf(side.seconds) : null;
  return {
    peer: side.wish.peer,
    group: side.wish.group,
    timing,
    ...(side.failure !== null && { unavailable: side.failure }),
    ratio: timing && ours && ratioOf(ours, timing),
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

function reasonOf(error: unknown): string {
  if (error instanceof PeerUnavailable) return error.message;
  throw error;
}

function ignoreUnavailable(error: unknown): null {
  reasonOf(error);
  return null;
}
