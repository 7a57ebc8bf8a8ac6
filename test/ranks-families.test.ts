import { expect, it } from "vitest";
import { setThreads } from "../dist/native/runtime.js";
import { differences, trainedOn } from "../scripts/ranks-check/rank-process.mjs";
import { everySetting } from "../scripts/ranks-check/settings.mjs";
import { startRanks, type Trained } from "../scripts/ranks-check/start-ranks.mjs";
import { pyramidStages, scriptEncoder } from "./torchscript-fixture.js";

setThreads(1);

/** What each family has is in its classification; `node scripts/ranks-check.mjs` tries every task for twenty steps. */
const settings = everySetting(scriptEncoder("pyramid", { features: 10, stages: pyramidStages }))
  .filter(({ task, trained }) => task === "pirads-classification" && trained === "full")
  .map((setting) => ({ ...setting, dtype: "float64" as const, batches: [4, 3, 2, 5] }));

it("two processes train every family of encoders as one does: in float64, to a billionth", async () => {
  expect(new Set(settings.map(({ family }) => family)).size).toBeGreaterThanOrEqual(7);
  const [first, second] = await startRanks(2, settings);
  for (const [index, setting] of settings.entries()) {
    const [own, other] = [await first?.answer(index), await second?.answer(index)];
    expect([setting.name, own?.error, other?.error]).toEqual([setting.name, undefined, undefined]);
    expect([setting.name, other?.checksum]).toEqual([setting.name, own?.checksum]);
    for (const [what, distance] of Object.entries(
      differences(own?.result as Trained, await trainedOn(setting)),
    ))
      expect([setting.name, what, distance < 1e-9]).toEqual([setting.name, what, true]);
  }
});
