import { describe, expect, it } from "vitest";
import { Network, Tensor } from "../dist/index.js";
import { deviceSeconds, nativeSeconds } from "../dist/native/runtime.js";
import { Trainer } from "../dist/native/trainer.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { Study } from "../dist/study/config/schema.js";
import { studyChanges } from "./study-changes.js";
import { tinyStudy } from "./study-fixture.js";

const encoder = {
  family: "convnext-v2-3d",
  channels: 1,
  depths: [1, 1, 1, 1],
  dims: [4, 8, 8, 16],
} as const;

/** Loss, gradient norm, and what the network answers after a step. */
async function afterStep(precision: "float32" | "tf32" | "bfloat16") {
  using network = await Network.create({
    encoder: { ...encoder, depths: [...encoder.depths], dims: [...encoder.dims] },
    head: { kind: "unetr", outputs: 1, featureSize: 4 },
  });
  using trainer = await Trainer.create(network, { loss: { kind: "l1" }, precision });
  using input = await Tensor.normal([1, 1, 32, 32, 32], 1);
  using target = await Tensor.normal([1, 1, 32, 32, 32], 2);
  const reading = await trainer.step(input, target, { learningRate: 1e-3, seed: 1 });
  network.precision = precision;
  using answer = await network.forward(input);
  return { ...reading, answer: await answer.toArray() };
}

const resolved = (execution: object): Study => {
  const answer = resolveStudy(tinyStudy("/nowhere", "results", { execution }), "/nowhere");
  if ("faults" in answer) throw new Error(JSON.stringify(answer.faults));
  return answer.study;
};

describe("tf32", () => {
  it("is float32 to the bit on a CPU, which bfloat16 is not", async () => {
    const [exact, rounded, coarse] = [
      await afterStep("float32"),
      await afterStep("tf32"),
      await afterStep("bfloat16"),
    ];
    expect(rounded).toEqual(exact);
    expect(coarse.loss).not.toBe(exact.loss);
  });

  it("is a precision of a study, which is another study than one in float32", () => {
    expect(resolved({ precision: "tf32" }).execution.precision).toBe("tf32");
    const changes = Object.values(studyChanges(resolved({}), resolved({ precision: "tf32" })));
    expect(new Set(changes)).toContain('execution.precision "float32" -> "tf32"');
  });
});

describe("deterministic algorithms", () => {
  it("are asked for unless a study says otherwise, and change nothing that was done so far", () => {
    expect(resolved({}).execution.deterministic).toBe(true);
    expect(studyChanges(resolved({}), resolved({ deterministic: false }))).toEqual({});
  });
});

describe("The time of a device", () => {
  it("is on a CPU as long as native work was under way", async () => {
    using volume = await Tensor.normal([64, 64, 64], 1);
    await volume.toArray();
    expect(await deviceSeconds("cpu")).toBeCloseTo(nativeSeconds(), 3);
  });

  it("is asked of a GPU alone where it is a GPU's", async () => {
    await expect(deviceSeconds("cuda:0")).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});
