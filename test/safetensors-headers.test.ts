import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { countKeys } from "../dist/native/json-keys.js";
import { temporaryFolder } from "./temporary-folder.js";

async function opened(header: string, data = 0) {
  const bytes = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  const path = join(await temporaryFolder(), "long.safetensors");
  await writeFile(path, Buffer.concat([length, bytes, Buffer.alloc(data)]));
  return openCheckpoint(path);
}

const entry = (shape: string) => `{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,4]}}`;
const table = (value: string, length: number) =>
  `{${Array.from({ length }, (_, index) => `"m${index}":${value}`).join(",")}}`;

it.each([
  ["longer than any", `{"a":"${"x".repeat(97e6)}"}`, /its header has 97\d+ bytes, more than 25000000/],
  ["of a shape of a million axes", entry(`[${"1,".repeat(1e6)}1]`), /the entry of "a" has more/],
  ["of a shape of a million texts", entry(`[${'"",'.repeat(1e6)}1]`), /the entry of "a" has more/],
  ["of an entry of many parts", `{"a":${table("1", 9000)}}`, /the entry of "a" has more/],
  ["of metadata that are numbers", `{"__metadata__":${table("1", 9000)}}`, /not a table of strings/],
  [
    "of more metadata than any program writes",
    `{"__metadata__":${table('""', 1_400_000)}}`,
    /its header has 1400000 keys inside of 1 entries: more than 3 of each tensor and 10000 of metadata/,
  ],
  ["of masses of keys deep inside", `{"a":[[${table("1", 1_000_000)}]]}`, /has 1000000 keys inside of 1/],
  ["of a deep entry", `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, /the entry of "a"/],
])("a header %s is refused at once, in few words", async (_what, header, reason) => {
  const before = process.cpuUsage();
  const error = await opened(header).catch((reason: unknown) => reason as Error);
  expect(error).toMatchObject({ code: "BAD_CHECKPOINT", message: expect.stringMatching(reason) });
  expect((error as Error).message.length).toBeLessThan(2000);
  expect(process.cpuUsage(before).user / 1e6).toBeLessThan(60); // not the minutes that it could take
});

it("metadata of thousands of entries, and of texts that hold JSON, are read", async () => {
  const metadata = {
    ...Object.fromEntries(Array.from({ length: 9000 }, (_, index) => [`m${index}`, "v"])),
    // As programs for training keep their settings: a text with colons, quotes and braces.
    settings: JSON.stringify(
      Object.fromEntries(Array.from({ length: 30_000 }, (_, i) => [`"${i}\\`, { a: 1 }])),
    ),
  };
  const header = { __metadata__: metadata, a: { dtype: "F32", shape: [1], data_offsets: [0, 4] } };
  const file = await opened(JSON.stringify(header), 4);
  expect([file.names, file.metadata]).toEqual([["a"], metadata]);
});

it("an index with more names than any model has is refused before it is read", async () => {
  const path = join(await temporaryFolder(), "model.safetensors.index.json");
  await writeFile(path, `{"weight_map":${table('"a.safetensors"', 300_000)}}`);
  await expect(openCheckpoint(path)).rejects.toMatchObject({
    code: "BAD_CHECKPOINT",
    message: expect.stringContaining("its index has 300000 entries, more than 250000"),
  });
});

it.each([
  ["{}", 0, 0],
  ['{"a":1,"b":{"c":[{"d":2}]}}', 2, 2],
  [JSON.stringify({ "a:\\": JSON.stringify({ x: 1 }), b: ":" }), 2, 0],
  ['{"never ends', 0, 0],
])("the keys of %s are counted by its bytes", (json, outer, inner) => {
  expect(countKeys(Buffer.from(json))).toEqual({ outer, inner });
});
