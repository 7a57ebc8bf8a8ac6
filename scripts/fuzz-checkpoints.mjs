// Feeds mutated checkpoints to the readers and expects a file read, or a refusal, every time: no crash, no hang, no
// tensor left over, no memory that grows. Seeds lie in test/checkpoint-seeds; test/checkpoint-fuzzer.test.ts makes them.
//
//   node scripts/fuzz-checkpoints.mjs --minutes 10 --seed 1
//
// A finding is kept as a file whose path is printed, and ends the run with exit status 1.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = (path) => import(new URL(`../dist/${path}`, import.meta.url).href);

/** Longer than this for a file of a few kilobytes is a hang. */
const longestMilliseconds = 10_000;
/** Memory that is held beyond this, above what was held when all was loaded, is a leak. */
const mostHeldBytes = 1 << 30;

const interesting = [0, 1, 7, 0x7f, 0x80, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];
/** Instructions of pickles, among which mutations go on making sense. */
const instructions = Buffer.from(
  "(.012NJKMQRUTXabcehjlqrstu])}dGBC\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8f\x90\x91\x93\x94\x95",
  "latin1",
);

/** The seeds by name. */
export const readSeeds = (folder = join(root, "test", "checkpoint-seeds")) =>
  readdirSync(folder)
    .sort()
    .map((name) => ({ name, bytes: readFileSync(join(folder, name)) }));

/** One change of `bytes`, drawn from `random`; the length may change. */
function mutate(bytes, others, random) {
  const at = random.integer(0, Math.max(0, bytes.length - 1));
  const length = Math.min(bytes.length - at, 2 ** random.integer(0, 8));
  const copy = Buffer.from(bytes);
  switch (random.integer(0, 9)) {
    case 0:
      copy[at] ^= 1 << random.integer(0, 7);
      return copy;
    case 1:
      copy[at] = random.integer(0, 255);
      return copy;
    case 2:
      copy[at] = random.pick([...instructions]);
      return copy;
    case 3: {
      const size = random.pick([1, 2, 4, 8]);
      if (at + size > copy.length) return copy;
      const value = BigInt(random.pick(interesting)) * (random.integer(0, 3) === 0 ? 0x100000001n : 1n);
      for (let byte = 0; byte < size; byte++) copy[at + byte] = Number((value >> BigInt(8 * byte)) & 255n);
      return copy;
    }
    case 4:
      return copy.subarray(0, at);
    case 5:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at + length)]);
    case 6:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(at, at + length), copy.subarray(at)]);
    case 7: {
      const to = random.integer(0, bytes.length - length);
      bytes.copy(copy, to, at, at + length);
      return copy;
    }
    case 8: {
      const { bytes: other } = random.pick(others);
      const from = random.integer(0, Math.max(0, other.length - length));
      return Buffer.concat([
        copy.subarray(0, at),
        other.subarray(from, from + length),
        copy.subarray(at + length),
      ]);
    }
    default: {
      const repeated = Buffer.concat(
        Array.from({ length: 2 ** random.integer(1, 8) }, () => copy.subarray(at, at + length)),
      );
      return Buffer.concat([copy.subarray(0, at), repeated, copy.subarray(at)]);
    }
  }
}

const localHeader = Buffer.from("PK\x03\x04", "latin1");

/** The stored entries of a zip file that is sound: their names and bytes. */
function unzip(bytes) {
  const entries = [];
  for (let at = 0; bytes.subarray(at, at + 4).equals(localHeader); ) {
    const [size, name, extra] = [
      bytes.readUInt32LE(at + 18),
      bytes.readUInt16LE(at + 26),
      bytes.readUInt16LE(at + 28),
    ];
    const start = at + 30 + name + extra;
    entries.push({
      name: bytes.subarray(at + 30, at + 30 + name),
      bytes: bytes.subarray(start, start + size),
    });
    at = start + size;
  }
  return entries;
}

/** Entries as a sound zip file, so that mutations of what they hold get past its directory. */
function rezip(entries) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { name, bytes } of entries) {
    const header = Buffer.alloc(30);
    localHeader.copy(header);
    const entry = Buffer.alloc(46);
    entry.writeUInt32LE(0x02014b50);
    for (const field of [18, 22]) header.writeUInt32LE(bytes.length, field);
    for (const field of [20, 24]) entry.writeUInt32LE(bytes.length, field);
    header.writeUInt16LE(name.length, 26);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    parts.push(header, name, bytes);
    directory.push(entry, name);
    at += 30 + name.length + bytes.length;
  }
  const listed = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  for (const field of [8, 10]) end.writeUInt16LE(entries.length, field);
  end.writeUInt32LE(listed.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, listed, end]);
}

/** A mutated seed: of a zip file either its bytes, or the pickle within it. */
function mutated(seeds, random) {
  const { name, bytes } = random.pick(seeds);
  const rounds = random.pick([1, 1, 1, 1, 1, 1, 2, 3, 5, 20]);
  const rounded = (start) => {
    let now = start;
    for (let round = 0; round < rounds; round++) now = mutate(now, seeds, random);
    return now;
  };
  if (!name.includes("zip") || random.integer(0, 2) === 0) return rounded(bytes);
  const entries = unzip(bytes);
  const pickle = entries.find((entry) => entry.name.toString().endsWith("data.pkl"));
  if (pickle) pickle.bytes = rounded(pickle.bytes);
  return rezip(entries);
}

/**
 * Reads mutated checkpoints until `iterations` are through or `seconds` are over.
 *
 * @returns how many were read and refused
 * @throws with the path of the file that was neither
 */
export async function fuzz({
  iterations = Number.POSITIVE_INFINITY,
  seconds = Number.POSITIVE_INFINITY,
  seed = 1,
  seeds = readSeeds(),
  onProgress = () => {},
}) {
  const { openCheckpoint } = await dist("models/checkpoints/checkpoint-file.js");
  const { keyMaps } = await dist("models/checkpoints/key-maps/index.js");
  const { guessArchitecture } = await dist("models/checkpoints/architecture.js");
  const { bearsSigns } = await dist("models/checkpoints/matching.js");
  const { randomStream } = await dist("common/random.js");
  const { Tensor } = await dist("native/tensor.js");
  const random = randomStream(seed, "fuzz checkpoints");
  const folder = mkdtempSync(join(tmpdir(), "transfer-limits-fuzz-"));
  const path = join(folder, "mutated.pth");
  // What the index of shards leads to.
  for (const { name, bytes } of seeds)
    if (name.endsWith(".safetensors")) writeFileSync(join(folder, name), bytes);
  const started = performance.now();
  const counts = { iterations: 0, read: 0, refused: 0, slowestMilliseconds: 0 };
  const live = Tensor.live;
  let heldAtFirst = 0;
  for (
    ;
    counts.iterations < iterations && performance.now() - started < 1000 * seconds;
    counts.iterations++
  ) {
    writeFileSync(path, mutated(seeds, random));
    const begun = performance.now();
    try {
      const file = await openCheckpoint(path);
      JSON.stringify(file.metadata);
      for (const keyMap of keyMaps) if (bearsSigns(file, keyMap)) guessArchitecture(file, keyMap);
      for (const name of file.names)
        if (!file.info(name).dtype.startsWith("complex")) (await file.tensor(name)).dispose();
      counts.read++;
    } catch (error) {
      // What openCheckpoint did not foresee, it says in these words.
      if (error.code !== "BAD_CHECKPOINT" || error.message.includes("could not be read"))
        throw found(path, counts, error);
      counts.refused++;
    }
    const milliseconds = performance.now() - begun;
    counts.slowestMilliseconds = Math.max(counts.slowestMilliseconds, milliseconds);
    if (milliseconds > longestMilliseconds)
      throw found(path, counts, new Error(`it took ${milliseconds} ms`));
    if (Tensor.live !== live) throw found(path, counts, new Error("a tensor is left over"));
    if (counts.iterations % 1000 === 999) {
      const { rss } = process.memoryUsage();
      heldAtFirst ||= rss;
      if (rss - heldAtFirst > mostHeldBytes) throw found(path, counts, new Error(`${rss} bytes are held`));
      onProgress({ ...counts, rss });
    }
  }
  rmSync(folder, { recursive: true, force: true });
  return counts;
}

const found = (path, counts, cause) =>
  new Error(`Iteration ${counts.iterations} found something; the file is ${path}: ${cause.message}`, {
    cause,
  });

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const option = (name, fallback) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? fallback : Number(process.argv[at + 1]);
  };
  const seconds = 60 * option("minutes", 10);
  const seed = option("seed", 1);
  let shown = 0;
  const onProgress = (counts) => {
    if (counts.iterations - shown < 50_000) return;
    shown = counts.iterations;
    process.stdout.write(`${JSON.stringify(counts)}\n`);
  };
  try {
    process.stdout.write(`${JSON.stringify(await fuzz({ seconds, seed, onProgress }))}\n`);
  } catch (error) {
    process.stderr.write(`${error.stack}\ncause: ${error.cause?.stack}\n`);
    process.exitCode = 1;
  }
}
