import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { temporaryFolder } from "./temporary-folder.js";
import { zip } from "./torch-writer.js";

/** A pickle of protocol 2 from instructions and texts. */
const pickled = (...parts: (string | Buffer)[]) =>
  Buffer.concat([
    Buffer.from([0x80, 2]),
    ...parts.map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(part, "latin1"))),
    Buffer.from("."),
  ]);
const length = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const text = (value: string) => Buffer.concat([Buffer.from("X"), length(value.length), Buffer.from(value)]);
const numbered = (count: number, item: string) => `](${item.repeat(count)}e`;
/** Puts what was pushed last under a number of the memo and takes it from the stack; `h` and the number fetch it. */
const [keep, fetch] = ["q\x000", "h\x00"];

const many = 100_000;
const half = 2 ** 19;
/** The items of a dictionary with many keys. */
const numberedPairs = Buffer.concat(
  Array.from({ length: many }, (_, key) => Buffer.concat([Buffer.from("J"), length(key), Buffer.from("N")])),
);

/** Each is a file of a megabyte or less that asks for the same large thing again and again. */
const hostile: [what: string, bytes: Buffer][] = [
  [
    "bytes of one long text, again and again",
    pickled(
      text("x".repeat(half)),
      keep,
      "](",
      "c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R".repeat(12_000),
      "e",
    ),
  ],
  [
    "dictionaries of the same pairs",
    pickled(numbered(many, "NN\x86"), keep, "](", "ccollections\nOrderedDict\nh\x00\x85R".repeat(8000), "e"),
  ],
  [
    "Counters of the same dictionary",
    pickled("}(", numberedPairs, "u", keep, "](", "ccollections\nCounter\nh\x00\x85R".repeat(8000), "e"),
  ],
  [
    "attributes that many objects share",
    pickled("}(", numberedPairs, "u", keep, "](", "cargparse\nNamespace\n)\x81h\x00b".repeat(10_000), "e"),
  ],
  [
    "sizes that many tensors share",
    pickled(numbered(half, "K\x01"), keep, "](", "ctorch\nSize\nh\x00\x85R".repeat(20_000), "e"),
  ],
  [
    "shapes of half a million axes",
    pickled(
      numbered(half, "K\x01"),
      keep,
      "](",
      "ctorch._utils\n_rebuild_tensor_v2\n(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NK\x01tQK\x00h\x00h\x00\x89NtR".repeat(
        4000,
      ),
      "e",
    ),
  ],
  [
    // Lists of two lists of two lists: as text each level is twice as long.
    "complex numbers of nested lists",
    pickled("]", keep, "h\x00h\x00\x86q\x000".repeat(60), fetch, "c__builtin__\ncomplex\n", "h\x00N\x86R"),
  ],
  [
    "complex numbers of complex numbers",
    pickled("K\x01", keep, "c__builtin__\ncomplex\nh\x00h\x00\x86Rq\x000".repeat(60), fetch),
  ],
  [
    "storages by one long name",
    pickled(
      text("storage"),
      "ctorch\nFloatStorage\n",
      text("k".repeat(half)),
      "NK\x01",
      "q\x000000(X\x07\x00\x00\x00storage",
      "ctorch\nFloatStorage\n",
      text("k".repeat(half)),
      "NK\x01tq\x010](",
      "h\x01Q".repeat(many),
      "e",
    ),
  ],
  [
    "classes by one long name",
    pickled(text("m".repeat(half)), keep, "](", "h\x00h\x00\x93".repeat(many), "e"),
  ],
  [
    "objects of the same long arguments",
    pickled("(", "N".repeat(half), "t", keep, "](", "cmy\nC\nh\x00R".repeat(20_000), "e"),
  ],
  [
    "paths of the same long part",
    pickled(text("x".repeat(half)), keep, "](", "cpathlib\nPath\nh\x00h\x00\x86R".repeat(20_000), "e"),
  ],
];

it.each(hostile)("a small file of %s takes time and memory like any of its size", async (_what, bytes) => {
  expect(bytes.length).toBeLessThan(2_000_000);
  const path = join(await temporaryFolder(), "small.pth");
  await writeFile(path, zip([{ name: "a/data.pkl", bytes }]));
  const before = process.memoryUsage();
  const start = process.cpuUsage();
  await expect(openCheckpoint(path)).rejects.toMatchObject({
    code: "BAD_CHECKPOINT",
    message: expect.stringMatching(/^.{0,2000}$/s),
  });
  // What is allowed here is far more than is needed, and far less than the minutes and gigabytes that it would take.
  expect(process.cpuUsage(start).user / 1e6).toBeLessThan(60);
  const after = process.memoryUsage();
  expect(after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers).toBeLessThan(500e6);
});
