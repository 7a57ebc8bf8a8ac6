import { beforeAll, describe, expect, it } from "vitest";
import { simulateClaims } from "../dist/statistics/simulation.js";

const references = [0.03, 0.1, 0.3, 0.6, 0.9];
const studies = 60;

/** Studies of a known gain over references near nothing and near everything: the tool's own code, from cells' numbers on. */
describe.each(references)("the gain in percent over a reference of %f", (reference) => {
  const counts = { held: 0, given: 0, contradicting: 0, claims: 0 };

  beforeAll(() => {
    for (let study = 0; study < studies; study++) {
      const gain = ([0, 0.2, 1][study % 3] as number) * Math.min(reference, 0.1);
      const settings = {
        ...{
          tasks: 5,
          seeds: study % 2 ? 5 : 10,
          patients: [10, 37, 148][Math.floor(study / 3) % 3] as number,
        },
        ...{ gain, reference, patientSpread: 0.05, restSpread: 0.03 },
        runSpread: 0.05 * ([0, 0.3, 1][Math.floor(study / 9) % 3] as number),
      };
      for (const { percent, difference } of simulateClaims(settings, 37, study)) {
        counts.claims++;
        if (percent === null || percent.low === null || percent.high === null) continue;
        counts.given++;
        const truth = (100 * gain) / reference;
        if (percent.low <= truth && truth <= percent.high) counts.held++;
        const above = percent.low > 0 === (difference.low as number) > 0;
        const below = percent.high < 0 === (difference.high as number) < 0;
        if (!above || !below || percent.estimate * difference.estimate < 0) counts.contradicting++;
      }
    }
  }, 240_000);

  it("lies in 92 to 97 % of the sets that are given, and these are most where the reference is more than its noise", () => {
    const error = 3 * Math.sqrt((0.95 * 0.05) / counts.given);
    expect(counts.held / counts.given).toBeGreaterThan(0.92 - error);
    expect(counts.held / counts.given).toBeLessThan(Math.min(1, 0.97 + error));
    if (reference >= 0.3) expect(counts.given).toBe(counts.claims);
  });

  it("never says better or worse where the difference does not", () => {
    expect(counts.given).toBeGreaterThan(100);
    expect(counts.contradicting).toBe(0);
  });
});
