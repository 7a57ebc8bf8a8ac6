import { expect, it } from "vitest";
import type { DinoVitSpec } from "../dist/native/network-spec.js";
import { setThreads } from "../dist/native/runtime.js";
import { differences, trainedOn } from "../scripts/ranks-check/rank-process.mjs";
import { type Setting, startRanks, type Trained } from "../scripts/ranks-check/start-ranks.mjs";

setThreads(1);

const encoder: DinoVitSpec = {
  family: "dino-vit",
  ...{ channels: 3, patch: 8, embedDim: 8, depth: 2, heads: 2, registers: 1, axisTokens: 2 },
};
const head = { kind: "contrastive", outputs: 1, hidden: 16, bottleneck: 8, prototypes: 6 } as const;
const contrast = { temperature: 0.5, lesionShare: 0.5, patches: 16 };
const common = {
  spec: { encoder, head },
  dtype: "float64",
  trained: "full",
  // Its parts differ in size, and one rank is without a case at times.
  batches: Array.from({ length: 20 }, (_, index) => [3, 4, 1, 2, 5][index % 5] as number),
} as const;

const settings: Setting[] = [
  {
    ...common,
    name: "patch-contrast",
    input: [1, 4, 16, 16],
    target: { kind: "lesion", shape: [1, 4, 16, 16] },
    options: { loss: { kind: "patch-contrast", ...contrast } },
  },
  {
    ...common,
    name: "self-distillation",
    input: [3, 4, 16, 16],
    target: { kind: "views", shape: [] },
    options: { loss: { kind: "self-distillation", ...contrast, centreMomentum: 0.8 } },
  },
];

it("two processes compare the cases of a whole batch with each other, as one does", async () => {
  const [first, second] = await startRanks(2, settings);
  const [told, others] = await Promise.all([first?.told(), second?.told()]);
  for (const [index, setting] of settings.entries()) {
    const own = told?.[index];
    expect([setting.name, own?.error, others?.[index]?.error]).toEqual([setting.name, undefined, undefined]);
    expect([setting.name, others?.[index]?.checksum]).toEqual([setting.name, own?.checksum]);
    const apart = Object.entries(differences(own?.result as Trained, await trainedOn(setting)));
    for (const [what, distance] of apart)
      expect([setting.name, what, distance < 1e-6]).toEqual([setting.name, what, true]);
  }
});
