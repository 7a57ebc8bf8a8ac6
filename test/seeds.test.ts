import { describe, expect, it } from "vitest";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { planStudy } from "../dist/study/plan/plan.js";

const resolved = (changes: Partial<StudyInput>) =>
  resolveStudy(
    {
      name: "small",
      cohort: { manifest: "manifest.csv", voxels: [32, 32, 16] },
      split: { train: 4, validation: 1, test: 1 },
      models: [{ name: "profound", encoder: "profound-demo", pretrain: {} }],
      tasks: ["super-resolution"],
      comparators: ["fine-tuned", "from-scratch"],
      ...changes,
    },
    "/data",
  );

function cellsOf(changes: Partial<StudyInput>) {
  const result = resolved(changes);
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  // What a study resolves to resolves to itself.
  expect(resolveStudy(result.study, "/data")).toEqual(result);
  return planStudy(result.study).cells.map(({ id, seed, dependsOn }) => [id, seed, ...dependsOn]);
}

const faultsOf = (seeds: unknown, changes: Partial<StudyInput> = {}) => {
  const result = resolved({ ...changes, seeds: seeds as never });
  return "faults" in result ? result.faults.map(({ path, message }) => `${path.join(".")}: ${message}`) : [];
};

describe("the seeds of a study", () => {
  it("may be a number of them, from 1 on, which plan the same cells as their list", () => {
    expect(cellsOf({ seeds: { count: 3 } })).toEqual(cellsOf({ seeds: [1, 2, 3] }));
    expect(cellsOf({ seeds: { count: 2, vary: ["order"] } })).toEqual(cellsOf({ seeds: [1, 2] }));
  });

  it("pretrain an encoder each where pretraining varies, from which that seed's cells start", () => {
    expect(cellsOf({ seeds: { count: 2, vary: ["weights", "order", "pretraining"] } })).toEqual([
      ["profound--pretraining--seed1", 1],
      ["profound--pretraining--seed2", 2],
      ["profound--super-resolution--fine-tuned--seed1", 1, "profound--pretraining--seed1"],
      ["profound--super-resolution--from-scratch--seed1", 1],
      ["profound--super-resolution--fine-tuned--seed2", 2, "profound--pretraining--seed2"],
      ["profound--super-resolution--from-scratch--seed2", 2],
      ["interpolation--super-resolution--trivial", 1],
    ]);
  });

  it("have what takes no network each where the patients are divided anew", () => {
    const ids = cellsOf({ seeds: { count: 2, vary: ["split"] } }).map(([id]) => id);
    expect(ids.filter((id) => String(id).includes("trivial"))).toEqual([
      "interpolation--super-resolution--trivial--seed1",
      "interpolation--super-resolution--trivial--seed2",
    ]);
    expect(ids[0]).toBe("profound--pretraining");
  });

  it.each([
    [{ count: 0 }, /^seeds\.count: expected a number of at least 1 but received 0/],
    [{ count: 2, vary: [] }, /^seeds\.vary: expected at least 1 entry/],
    [{ count: 2, vary: ["weight"] }, /Did you mean "weights"/],
    [{ count: 2, vary: ["order", "order"] }, /^seeds\.vary\.1: "order" stands here twice/],
    [{ vary: ["order"] }, /^seeds\.count: expected a/],
    [{ number: 2, count: 2 }, /unknown key "number"/],
    [3, /^seeds: expected a list or a table of keys but received 3/],
    [[1, 1], /stands here twice/],
  ])("are refused as %j, saying why", (seeds, message) => {
    expect(faultsOf(seeds)).toEqual([expect.stringMatching(message)]);
  });

  it("cannot pretrain anew what no model pretrains", () => {
    const models = [{ name: "profound", encoder: "profound-demo" as const, weights: "weights.safetensors" }];
    expect(faultsOf({ count: 2, vary: ["weights", "pretraining"] }, { models })).toEqual([
      expect.stringMatching(/^seeds\.vary\.1: expected a model with "pretrain"/),
    ]);
  });
});
