import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openCheckpoint } from "../dist/models/checkpoints/checkpoint-file.js";
import { temporaryFolder } from "./temporary-folder.js";

async function opened(header: string) {
  const bytes = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(bytes.length));
  const path = join(await temporaryFolder(), "long.safetensors");
  await writeFile(path, Buffer.concat([length, bytes]));
  return openCheckpoint(path);
}

const entry = (shape: string) => `{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,4]}}`;
const table = (value: string) =>
  `{${Array.from({ length: 300_000 }, (_, index) => `"m${index}":${value}`).join(",")}}`;

it.each([
  ["longer than any", `{"a":"${"x".repeat(97e6)}"}`, /its header has 97\d+ bytes, more than 25000000/],
  ["of a shape of a million axes", entry(`[${"1,".repeat(1e6)}1]`), /the entry of "a" has more/],
  ["of a shape of a million texts", entry(`[${'"",'.repeat(1e6)}1]`), /the entry of "a" has more/],
  ["of an entry of many parts", `{"a":${table("1")}}`, /the entry of "a" has more/],
  ["of metadata that are numbers", `{"__metadata__":${table("1")}}`, /not a table of strings/],
  ["of a deep entry", `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, /the entry of "a"/],
])("a header %s is refused at once, in few words", async (_what, header, reason) => {
  const start = performance.now();
  const error = await opened(header).catch((reason: unknown) => reason as Error);
  expect(error).toMatchObject({ code: "BAD_CHECKPOINT", message: expect.stringMatching(reason) });
  expect((error as Error).message.length).toBeLessThan(2000);
  expect(performance.now() - start).toBeLessThan(10_000);
});
