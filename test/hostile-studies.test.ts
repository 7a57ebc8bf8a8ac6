import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nearest, suggestion } from "../dist/common/validation.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { loadStudy } from "../dist/study/plan/load-study.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-hostile-studies-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const megabyte = 1024 * 1024;
const manyKeys = (count: number, separator: string) =>
  Array.from({ length: count }, (_, index) => `key${index}: 1`).join(separator);

describe("A study file that is made to keep us busy is refused within seconds, in few words", () => {
  const files: [string, () => string, RegExp][] = [
    ["a megabyte of keys", () => manyKeys(80_000, "\n"), /unknown key "key0".*and 79990 more unknown keys/],
    ["a megabyte of keys in braces", () => `{${manyKeys(80_000, ", ")}}`, /and 79990 more unknown keys/],
    ["more keys than a study may have", () => manyKeys(150_000, "\n"), /more than 100000 keys/],
    ["keys inside of a section", () => `training: {${manyKeys(50_000, ", ")}}`, /training: unknown key/],
    ["one key of a megabyte", () => `{ ${"x".repeat(megabyte)}: 1 }`, /unknown key "xxx/],
    [
      "a value of a megabyte where a word is wanted",
      () => `comparators: [${"x".repeat(megabyte)}]`,
      /comparators\[0\]/,
    ],
    ["a hundred thousand wrong values", () => `seeds: [${"a, ".repeat(100_000)}]`, /and \d+ more/],
    [
      "a seed that stands there a hundred thousand times",
      () => `name: a\nseeds: [${"1, ".repeat(100_000)}]`,
      /sound/,
    ],
    ["tables in tables", () => "{a: ".repeat(200_000), /not YAML|not a study/],
    [
      "lists in lists",
      () => `${"[".repeat(3000)}${"]".repeat(3000)}`,
      /not YAML|not a study|expected a table/,
    ],
    [
      "aliases of each other",
      () =>
        Array.from(
          { length: 30_000 },
          (_, index) => `k${index}: &a${index} ${index ? `*a${index - 1}` : 1}`,
        ).join("\n"),
      /aliases|not YAML/,
    ],
    ["more bytes than a study may have", () => "#\n".repeat(3 * megabyte), /at most 4,194,304 bytes/],
  ];
  it.each(files)(
    "with %s",
    async (_, text, message) => {
      const path = join(folder, "study.yaml");
      await writeFile(path, text());
      const before = process.cpuUsage();
      const error = await loadStudy(path).then(
        () => expect.unreachable("the study was accepted"),
        (reason: Error & { code: string }) => reason,
      );
      expect(process.cpuUsage(before).user / 1e6).toBeLessThan(60);
      expect(error.code).toBe("BAD_CONFIG");
      expect(error.message).toMatch(message);
      expect(error.message.length).toBeLessThan(20_000);
    },
    60_000,
  );

  it("with a thousand models, for each of which all is checked", () => {
    const models = Array.from({ length: 1000 }, (_, index) => ({
      name: `m${index}`,
      encoder: "profound-demo",
      pretrain: { epochs: 1, warmupEpochs: 1 },
    }));
    const before = process.cpuUsage();
    const result = resolveStudy({ name: "many", cohort: { manifest: "a.csv" }, models }, "/data");
    expect("faults" in result && result.faults).toHaveLength(1000);
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(60);
  });
});

describe("A key that stands twice", () => {
  it.each([
    ["in the study", "name: a\nseed: 1\nname: b\n", "line 3, column 1"],
    ["in a section", "name: a\ntraining:\n  epochs: 1\n  epochs: 2\n", "line 4, column 3"],
  ])("%s is refused, with its line", async (_, text, place) => {
    const path = join(folder, "twice.yaml");
    await writeFile(path, text);
    await expect(loadStudy(path)).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining(`${place}: Map keys must be unique`),
    });
  });
});

describe("The nearest known word", () => {
  it("is none of a word of megabytes, at once, and still the one that a slip of the hand meant", () => {
    const before = process.cpuUsage();
    expect(nearest("x".repeat(20 * megabyte), ["training", "tasks"])).toBeNull();
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(60);
    expect(nearest("traning", ["training", "tasks"])).toBe("training");
    expect(suggestion("epoch", ["epochs", "seed"])).toBe('. Did you mean "epochs"?');
  });
});
