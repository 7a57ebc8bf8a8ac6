import { expect, it } from "vitest";
import type { NetworkSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";
import { probePlan } from "../dist/study/cell/probe.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import { planStudy } from "../dist/study/plan/plan.js";
import { tinyStudy } from "./study-fixture.js";

it("a probe estimates every cell of a plan from steps of its own network, in proportion to its work", async () => {
  const result = resolveStudy(
    tinyStudy("/data", "out", { tasks: ["lesion-segmentation", "super-resolution"] }),
    "/data",
  );
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  const plan = planStudy(result.study);
  const { device, threads, seconds, faults } = await probePlan(result.study, plan);
  expect({ device, threads, faults }).toEqual({ device: "cpu", threads: 1, faults: [] });
  expect(Object.keys(seconds)).toEqual(plan.cells.map(({ id }) => id));
  for (const { id, comparator } of plan.cells) {
    if (comparator === "trivial")
      expect(seconds[id]).toBe(0); // it has no network
    else expect(seconds[id]).toBeGreaterThan(0);
  }
  const of = (comparator: string) =>
    plan.cells.find((cell) => cell.task === "lesion-segmentation" && cell.comparator === comparator) as {
      id: string;
      cost: number;
    };
  const [trained, untrained] = [of("from-scratch"), of("random-weights")];
  expect((seconds[trained.id] as number) / (seconds[untrained.id] as number)).toBeCloseTo(
    trained.cost / untrained.cost,
    9,
  );
  expect(Tensor.live).toBe(0);
}, 120_000);

it("a probe says which network could not be timed, and why, and times the rest", async () => {
  const result = resolveStudy(tinyStudy("/data", "out", { tasks: ["super-resolution"] }), "/data");
  if ("faults" in result) throw new Error(JSON.stringify(result.faults));
  const plan = planStudy(result.study);
  const [, , , , scratch, specialised] = plan.cells;
  if (!scratch || !specialised) throw new Error("the plan has fewer cells");
  const broken = {
    ...scratch,
    id: "broken",
    task: "no-such-task" as never,
    network: { ...(specialised.network as NetworkSpec), other: 1 },
  };
  const { seconds, faults } = await probePlan(result.study, { name: "x", cells: [broken, specialised] });
  expect(seconds.broken).toBe(null);
  expect(faults).toEqual([expect.stringMatching(/^broken: .*no-such-task/)]);
  expect(seconds[specialised.id]).toBeGreaterThan(0);
}, 120_000);
