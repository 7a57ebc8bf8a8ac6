// The records of a visit as its parts write them: one JSON document a line, checked before anything is made of them.
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { files } from "../visit.mjs";

const text = z.string().max(2000);
const number = z.number().finite();
const milliseconds = number.positive();
const base = { part: text, at: number };

const record = z.discriminatedUnion("kind", [
  z.object({ ...base, kind: z.literal("begin") }),
  /** How a part ended; one without has been cut off. */
  z.object({
    ...base,
    kind: z.literal("end"),
    outcome: z.enum(["done", "failed", "timed out", "not run"]),
    reason: text.optional(),
    seconds: number,
  }),
  z.object({ ...base, kind: z.literal("fact"), what: text, value: text }),
  /** Operations a second of matrix products, and bytes a second of reading. */
  z.object({
    ...base,
    kind: z.literal("rates"),
    float32: number.positive(),
    bfloat16: number.positive(),
    bytes: number.positive(),
  }),
  /** What a part decided itself; null where it could not. */
  z.object({
    ...base,
    kind: z.literal("judged"),
    what: text,
    right: z.boolean().nullable(),
    detail: z.union([text, z.array(text)]),
  }),
  /** A number beside the one it must be, up to a share of it; both may be undefined, and then null. */
  z.object({
    ...base,
    kind: z.literal("compared"),
    what: text,
    got: number.nullable(),
    missing: z.boolean(),
    expected: number.nullable(),
    share: number.positive(),
  }),
  /** Work by this project or by a peer. */
  z.object({
    ...base,
    kind: z.literal("timed"),
    work: text,
    by: text,
    ours: z.boolean(),
    milliseconds: milliseconds.nullable(),
    least: number.optional(),
    most: number.optional(),
    reason: text.optional(),
  }),
  /** A pass of a network: the first, one among many, by the device's clock, and until the host has given one to an idle device. */
  z.object({
    ...base,
    kind: z.literal("network"),
    what: text,
    first: milliseconds,
    steady: milliseconds,
    device: number.nonnegative(),
    host: milliseconds,
    operations: number.positive(),
    peakBytes: number.positive(),
    estimatedBytes: number.positive(),
  }),
  z.object({
    ...base,
    kind: z.literal("memory"),
    what: text,
    peakBytes: number.positive(),
    estimatedBytes: number.positive(),
  }),
  z.object({ ...base, kind: z.literal("measured"), what: text, value: number, unit: text }),
  /** One of the costliest kernels, as Nsight Compute sees it. */
  z.object({
    ...base,
    kind: z.literal("kernel"),
    what: text,
    share: number,
    launches: number,
    metrics: z.record(text, text),
  }),
]);

const mostBytes = 16 * 2 ** 20;

/**
 * Reads the records in a folder of results.
 *
 * @returns { records, unreadable }: how many lines were not records, such as one that was cut off
 * @throws where there are none, or more than a visit writes
 */
export function readRecords(folder) {
  const path = join(folder, files.records);
  if (!existsSync(path)) throw new Error(`Expected the results of a visit but ${path} is not there`);
  const { size } = statSync(path);
  if (size > mostBytes) throw new Error(`Expected at most ${mostBytes} bytes in ${path} but it has ${size}`);
  const records = [];
  let unreadable = 0;
  for (const line of readFileSync(path, "utf8").split("\n")) {
    if (line.trim() === "") continue;
    const parsed = record.safeParse(parsedJson(line));
    if (parsed.success) records.push(parsed.data);
    else unreadable++;
  }
  if (records.length === 0) throw new Error(`Expected records in ${path} but none can be read`);
  return { records, unreadable };
}

function parsedJson(line) {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
