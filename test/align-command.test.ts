import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { mmdPermutationTest } from "../dist/alignment/permutation-test.js";
import { writeSafetensors } from "../dist/native/safetensors.js";
import { Tensor } from "../dist/native/tensor.js";
import { cli } from "./cli-fixture.js";
import { hashFill } from "./hash-fill.js";
import { temporaryFolder } from "./temporary-folder.js";

const [n, d] = [9, 3];
const a = hashFill("align a", n * d);
/** A small shift beside the cases' own spread: seen where rows are paired, and lost where they are not. */
const b = a.map((value, i) => value + 0.15 + 0.05 * (hashFill("align noise", n * d)[i] as number));
const cases = Array.from({ length: n }, (_, i) => `case-${i}`);
const patients = ["p", "q", "q", "r", "s", "s", "s", "t", "u"];

async function write(
  folder: string,
  name: string,
  data: Float64Array,
  metadata: Record<string, unknown> = {},
) {
  const path = join(folder, `${name}.safetensors`);
  using embeddings = Tensor.from(data, [data.length / d, d]);
  const texts = Object.entries(metadata).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  await writeSafetensors(path, { embeddings }, Object.fromEntries(texts));
  return path;
}
const set = (data: Float64Array) => ({ data, shape: [n, d] });
const p = { sigma: 4, permutations: 500 };

describe("align", () => {
  it("pairs files that list the same cases in the same order, says so, and takes it back with --unpaired", async () => {
    const folder = await temporaryFolder();
    const files = [await write(folder, "a", a, { cases }), await write(folder, "b", b, { cases })];
    const test = ["align", ...files, "--sigma", "4", "--permutations", "500"];
    const paired = JSON.parse((await cli(...test, "--json")).stdout);
    const wanted = await mmdPermutationTest(set(a), set(b), { ...p, paired: true });
    expect(paired).toMatchObject({ paired: true, sameCases: true, patients: n });
    expect(paired.given).toMatchObject({ pValue: wanted.pValue, exact: true, permutations: 256 });
    expect(paired.given.unbiased).toBeCloseTo(wanted.unbiased as number, 12);
    expect(paired.given.pValue).toBeLessThan(0.01);
    const { stdout } = await cli(...test);
    expect(stdout).toMatch(/^Paired: .* both files list the same cases in the same order \(--unpaired/m);
    expect(stdout).toMatch(/^p is exact, over all 256 divisions\.$/m);
    expect(stdout).toMatch(/^Linear CKA 0\.\d+, Procrustes distance /m);
    const unpaired = JSON.parse((await cli(...test, "--unpaired", "--json")).stdout);
    expect(unpaired).toMatchObject({ paired: false, given: { exact: false } });
    expect(unpaired.given.pValue).toBe((await mmdPermutationTest(set(a), set(b), p)).pValue);
    expect(unpaired.given.pValue).toBeGreaterThan(0.2);
  });

  it("does not pair files of other cases, or that list none", async () => {
    const folder = await temporaryFolder();
    const mine = await write(folder, "a", a, { cases });
    for (const metadata of [{}, { cases: [...cases].reverse() }]) {
      const other = await write(folder, "b", b, metadata);
      const { stdout } = await cli("align", mine, other, "--json");
      expect(JSON.parse(stdout)).toMatchObject({ paired: false, sameCases: false });
      expect(JSON.parse(stdout).withoutKernel).toBeUndefined();
    }
  });

  it("moves the rows of one patient together, and says how many patients there are", async () => {
    const folder = await temporaryFolder();
    const metadata = { cases, patients };
    const files = [await write(folder, "a", a, metadata), await write(folder, "b", b, metadata)];
    const { stdout } = await cli("align", ...files, "--permutations", "500");
    expect(stdout).toMatch(/p is exact, over all 32 divisions of 6 patients\./);
    const others = await write(folder, "c", b, {
      cases: cases.map((id) => `other ${id}`),
      patients: patients.map((who) => `other ${who}`),
    });
    const apart = JSON.parse(
      (await cli("align", files[0] as string, others, "--permutations", "500", "--json")).stdout,
    );
    // 12 patients, 6 of them in the first set.
    expect(apart).toMatchObject({ paired: false, patients: 12, given: { exact: true, permutations: 924 } });
  });

  it("takes cases that are listed several times for one", async () => {
    const folder = await temporaryFolder();
    const files = [
      await write(folder, "a", a, { cases: patients }),
      await write(folder, "b", b, { cases: patients }),
    ];
    const { stdout } = await cli("align", ...files, "--permutations", "500", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ paired: true, patients: 6, given: { permutations: 32 } });
  });

  it("takes the second bandwidth from the reference, and says in words what stands against a number", async () => {
    const folder = await temporaryFolder();
    const far = await write(
      folder,
      "far",
      a.map((value) => value + 1000),
      { cases },
    );
    const reference = await write(folder, "b", a, { cases });
    const answers = [];
    for (const other of [far, reference])
      answers.push(JSON.parse((await cli("align", other, reference, "--json")).stdout));
    expect(answers[0].medianHeuristic.sigma).toBe(answers[1].medianHeuristic.sigma);
    expect(answers[0].medianHeuristic.flags).toEqual(["ceiling"]);
    expect((await cli("align", far, reference)).stdout).toMatch(
      /^With sigma = \S+, ceiling: the sets are out of each other’s reach/m,
    );
  });

  it.each([
    ["cases", "no JSON ["],
    ["cases", ["one"]],
    ["patients", [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ["patients", { p: 1 }],
  ])("refuses a list of %s that is none: %j", async (key, value) => {
    const folder = await temporaryFolder();
    const [good, bad] = [
      await write(folder, "a", a, { cases }),
      await write(folder, "b", b, { [key]: value }),
    ];
    const { status, stderr } = await cli("align", good, bad);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      new RegExp(`Expected 9 names, one a row, as JSON in the metadata "${key}" of .*b\\.safetensors`),
    );
  });

  it("refuses paired files whose patients differ", async () => {
    const folder = await temporaryFolder();
    const files = [
      await write(folder, "a", a, { cases, patients }),
      await write(folder, "b", b, { cases, patients: patients.map((who) => `${who}'`) }),
    ];
    const { status, stderr } = await cli("align", ...files, "--permutations", "10");
    expect(status).toBe(1);
    expect(stderr).toMatch(/Expected "p" for row 0/);
  });
});
