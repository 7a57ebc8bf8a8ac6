// Reads the results of a visit and prints one page: what is right, what is wrong, each number beside its target and floor.
//
//   node scripts/gpu-visit/read.mjs RESULTS [--write] [--into FOLDER]
//
// --write  also writes what was measured into docs/performance.md, and everything into bench/results/<card>-<date>.json
// --into   the checkout that is written into; default: this one
//
// Exit status: 0 where all that was judged is right, 1 where something is wrong or nothing was judged, 2 for bad use.
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { writeFileAtomically } from "../../dist/common/atomic-file.js";
import { root } from "../libtorch.mjs";
import { judge } from "./read/judge.mjs";
import { page, performanceSection } from "./read/page.mjs";
import { readRecords } from "./read/records.mjs";

const markers = [
  "<!-- gpu-visit: what stands here is written by scripts/gpu-visit/read.mjs -->",
  "<!-- /gpu-visit -->",
];

function arguments_() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: { write: { type: "boolean", default: false }, into: { type: "string", default: root } },
    });
    if (positionals.length !== 1) throw new Error("Expected one folder with the results of a visit");
    return { ...values, folder: resolve(positionals[0]) };
  } catch (error) {
    refuse(error);
  }
}

function refuse(error) {
  console.error(error.message);
  process.exit(2);
}

const { folder, write, into } = arguments_();
let visit;
try {
  visit = judge(readRecords(folder));
  if (write) await record(visit);
} catch (error) {
  refuse(error);
}
console.log(page(visit));
const judged = visit.judgements.filter(({ right }) => right !== null);
process.exitCode = judged.length > 0 && judged.every(({ right }) => right) ? 0 : 1;

/** Writes what is kept of a visit. A rehearsal is not: its numbers are of another size, or of no GPU. */
async function record(made) {
  const { facts } = made;
  if (facts.device === "cpu" || facts.size !== "whole" || facts.card === undefined)
    throw new Error("Expected a visit to a GPU at its whole size for --write but received a rehearsal");
  const document = join(into, "docs", "performance.md");
  const before = readFileSync(document, "utf8");
  const [start, end] = markers.map((marker) => before.indexOf(marker));
  if (start < 0 || end < start)
    throw new Error(`Expected the lines "${markers.join('" and "')}" in ${document}`);
  const after = `${before.slice(0, start)}${markers[0]}\n${performanceSection(made)}\n${before.slice(end)}`;
  const results = join(into, "bench", "results");
  mkdirSync(results, { recursive: true });
  const name = `${slug(facts.card)}-${slug(facts.date ?? "undated")}.json`;
  await writeFileAtomically(join(results, name), `${JSON.stringify(made, null, 2)}\n`);
  await writeFileAtomically(document, after);
}

function slug(text) {
  return (
    text
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-")
      .replace(/^-+|-+$/g, "")
      .slice(0, 60) || "unknown"
  );
}
