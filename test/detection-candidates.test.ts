import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { type CandidateThreshold, detect } from "../dist/native/detections.js";
import { Tensor } from "../dist/native/tensor.js";
import {
  aucOfDrawn,
  averagePrecisionOfDrawn,
  type FoundInCase,
  froc,
  sensitivityAtFalsePositives,
} from "../dist/tasks/drawn-metrics.js";
import { bestAssignment, matchLesions } from "../dist/tasks/lesion-matching.js";
import { valueOverSet } from "../dist/tasks/set-metrics.js";

interface Oracle {
  cases: {
    candidates: number[];
    voxels: number;
    lesions: number;
    hits: [number, number][];
    falsePositives: number[];
    highest: number;
  }[];
  averagePrecision: number;
  auroc: number;
  score: number;
  sensitivity: Record<string, number>;
}

// Made with picai_eval and report_guided_annotation by test/oracles/detection.py.
const oracles: Record<string, Oracle> = JSON.parse(
  readFileSync(new URL("oracles/detection.json", import.meta.url), "utf8"),
);

const shape = [12, 24, 20] as const;
const size = 12 * 24 * 20;

const made: Tensor[] = [];
afterEach(() => {
  for (const one of made.splice(0)) one.dispose();
});
const volume = (values: Float32Array, extent: readonly number[] = shape): Tensor => {
  const tensor = Tensor.from(values, extent);
  made.push(tensor);
  return tensor;
};
const volumeOf = (
  extent: readonly [number, number, number],
  value: (k: number, j: number, i: number) => number,
) => {
  const [d, h, w] = extent;
  return volume(
    Float32Array.from({ length: d * h * w }, (_, at) =>
      value(Math.floor(at / (h * w)), Math.floor(at / w) % h, at % w),
    ),
    extent,
  );
};

/** The same maps and lesions as the oracle's, to the bit. */
function caseOf(index: number): { chances: Float32Array; truth: Float32Array } {
  let state = 1 + 7919 * (index + 1);
  const below = (count: number) => {
    state = (state * 48271) % 2147483647;
    return state % count;
  };
  const spread = (): [number[], number] => [shape.map((extent) => below(extent)), 1 + below(4)];
  const squares = (place: readonly number[]) =>
    Float64Array.from({ length: size }, (_, at) => {
      const [k, j, i] = [Math.floor(at / 480), Math.floor(at / 20) % 24, at % 20];
      return (k - (place[0] ?? 0)) ** 2 + (j - (place[1] ?? 0)) ** 2 + (i - (place[2] ?? 0)) ** 2;
    });
  const truth = new Float32Array(size);
  const chances = new Float64Array(size);
  const raise = (place: readonly number[], own: number, reach: number) =>
    squares(place).forEach((square, at) => {
      const fall = 1 + square / reach;
      chances[at] = Math.max(chances[at] as number, own / (fall * fall));
    });
  for (let lesion = below(4); lesion > 0; lesion--) {
    const [place, reach] = spread();
    squares(place).forEach((square, at) => {
      if (square <= reach * reach) truth[at] = 1;
    });
    if (below(10) >= 7) continue;
    const near = place.map((at) => at + below(5) - 2);
    const own = (1 + below(98)) / 100;
    raise(near, own, reach * reach + below(6));
  }
  for (let other = below(5); other > 0; other--) {
    const [place, reach] = spread();
    raise(place, (1 + below(80)) / 100, reach * reach);
  }
  return { chances: Float32Array.from(chances), truth };
}

const thresholds: Record<string, CandidateThreshold> = {
  "of-candidates": { kind: "of-candidates", divisor: 2.5, most: 5 },
  "of-map": { kind: "of-map", divisor: 2.5 },
  fixed: { kind: "fixed", threshold: 0.3 },
};
const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);

describe("Candidates of lesions, their hits and their metrics", () => {
  it.each(Object.keys(thresholds))("are the PI-CAI challenge's where the threshold is %s", async (kind) => {
    const oracle = oracles[kind] as Oracle;
    const found: FoundInCase[] = [];
    const highest: number[] = [];
    for (const [index, expected] of oracle.cases.entries()) {
      const { chances, truth } = caseOf(index);
      const options = { ...(thresholds[kind] as CandidateThreshold), fewestVoxels: 11 };
      using detections = await detect(volume(chances), volume(truth), options);
      expect(sorted(detections.candidates.map(({ confidence }) => confidence))).toEqual(expected.candidates);
      const marked = ((await detections.map.toArray()) as Float32Array).filter((value) => value > 0).length;
      expect(marked).toBe(expected.voxels);
      expect(detections.candidates.reduce((sum, { voxels }) => sum + voxels, 0)).toBe(expected.voxels);
      const own = matchLesions(detections, 0.1);
      expect(own.lesions).toBe(expected.lesions);
      const of = (wanted: boolean) =>
        sorted(own.candidates.filter(({ hit }) => hit === wanted).map(({ confidence }) => confidence));
      expect(of(true)).toEqual(sorted(expected.hits.map(([confidence]) => confidence)));
      expect(of(false)).toEqual(expected.falsePositives);
      found.push(own);
      highest.push(detections.candidates.reduce((most, one) => Math.max(most, one.confidence), 0));
      expect(highest.at(-1)).toBe(expected.highest);
    }
    const everyCase = [...found.keys()];
    expect(averagePrecisionOfDrawn(found)(everyCase)).toBeCloseTo(oracle.averagePrecision, 12);
    const positives = found.map(({ lesions }) => lesions > 0);
    expect(aucOfDrawn(positives, highest)(everyCase)).toBeCloseTo(oracle.auroc, 12);
    const judged = found.map((own, index) => ({
      value: highest[index] as number,
      positive: own.lesions > 0,
      found: own,
    }));
    expect(valueOverSet("PI-CAI score", judged)).toBeCloseTo(oracle.score, 12);
    // The oracle counts in float32.
    for (const [rate, sensitivity] of Object.entries(oracle.sensitivity))
      expect(sensitivityAtFalsePositives(found, Number(rate))).toBeCloseTo(sensitivity, 6);
  });

  it("are connected through corners, and dropped where they have too few voxels", async () => {
    // Two voxels that touch at a corner; one by itself.
    const map = volumeOf([3, 4, 5], (k, j, i) =>
      (k === 0 && j === 0 && i === 0) || (k === 1 && j === 1 && i === 1)
        ? 0.9
        : k === 2 && j === 3 && i === 4
          ? 0.8
          : 0,
    );
    const nothing = volume(new Float32Array(60), [3, 4, 5]);
    const found = async (fewestVoxels: number) => {
      using detections = await detect(map, nothing, { kind: "fixed", threshold: 0.5, fewestVoxels });
      return detections.candidates.map(({ confidence, voxels }) => [Math.fround(confidence), voxels]);
    };
    expect(await found(1)).toEqual([
      [Math.fround(0.9), 2],
      [Math.fround(0.8), 1],
    ]);
    expect(await found(2)).toEqual([[Math.fround(0.9), 2]]);
    expect(await found(3)).toEqual([]);
  });

  it("are taken from logits as from their probabilities, and none where nothing is probable", async () => {
    const nothing = volume(new Float32Array(60), [3, 4, 5]);
    const how = { kind: "of-candidates", divisor: 2.5, most: 5, fewestVoxels: 1 } as const;
    using one = await detect(
      volumeOf([3, 4, 5], (k) => (k === 0 ? 1 : -8)),
      nothing,
      { ...how, logits: true },
    );
    expect(one.candidates).toHaveLength(1);
    expect(one.candidates[0]?.confidence).toBeCloseTo(1 / (1 + Math.exp(-1)), 6);
    expect(one.candidates[0]?.voxels).toBe(20);
    for (const kind of ["of-candidates", "of-map"] as const) {
      using none = await detect(nothing, nothing, { ...how, kind });
      expect(none.candidates).toEqual([]);
    }
  });

  it("are refused where there is no map of probabilities, or another shape", async () => {
    const how = { kind: "fixed", threshold: 0.5, fewestVoxels: 1 } as const;
    const nothing = volume(new Float32Array(60), [3, 4, 5]);
    await expect(
      detect(
        volumeOf([3, 4, 5], () => 1.5),
        nothing,
        how,
      ),
    ).rejects.toThrow(/probabilities in \[0, 1\]/);
    await expect(
      detect(
        volumeOf([3, 4, 5], () => Number.NaN),
        nothing,
        how,
      ),
    ).rejects.toThrow(/probabilities/);
    await expect(
      detect(
        volumeOf([3, 4, 4], () => 0),
        nothing,
        how,
      ),
    ).rejects.toThrow(/one shape/);
    await expect(detect(nothing, nothing, { ...how, threshold: 0 })).rejects.toThrow(/threshold above 0/);
  });
});

describe("Matching candidates with lesions", () => {
  it("hits as many lesions as possible, then overlaps most, one to one", () => {
    // Candidate 0 overlaps with both lesions, candidate 1 with the first alone: each gets its own.
    const found = {
      candidates: [
        { confidence: 0.9, voxels: 10 },
        { confidence: 0.5, voxels: 10 },
        { confidence: 0.7, voxels: 10 },
      ],
      lesions: [10, 10],
      overlaps: [
        { candidate: 0, lesion: 0, voxels: 8 },
        { candidate: 0, lesion: 1, voxels: 2 },
        { candidate: 1, lesion: 0, voxels: 2 },
        { candidate: 2, lesion: 1, voxels: 1 },
      ],
    };
    expect(matchLesions(found, 0.1)).toEqual({
      candidates: [
        { confidence: 0.9, hit: true },
        { confidence: 0.5, hit: true },
        { confidence: 0.7, hit: false },
      ],
      lesions: 2,
    });
  });

  it("takes an intersection over union of just the least for a hit", () => {
    const one = (voxels: number) =>
      matchLesions(
        {
          candidates: [{ confidence: 1, voxels: 30 }],
          lesions: [voxels === 3 ? 3 : 4],
          overlaps: [{ candidate: 0, lesion: 0, voxels }],
        },
        0.1,
      ).candidates[0]?.hit;
    expect(one(3)).toBe(true); // 3 / 30
    expect(one(2)).toBe(false); // 2 / 32
  });

  it("finds what a search through all assignments finds", () => {
    let state = 11;
    const random = () => {
      state = (state * 48271) % 2147483647;
      return state / 2147483647;
    };
    const best = (worth: number[][], row = 0, used = new Set<number>()): number => {
      const own = worth[row];
      if (own === undefined) return 0;
      let most = best(worth, row + 1, used);
      for (const [column, value] of own.entries()) {
        if (used.has(column)) continue;
        most = Math.max(most, value + best(worth, row + 1, new Set([...used, column])));
      }
      return most;
    };
    for (let trial = 0; trial < 200; trial++) {
      const [rows, columns] = [1 + Math.floor(4 * random()), Math.floor(5 * random())];
      const worth = Array.from({ length: rows }, () =>
        Array.from({ length: columns }, () => (random() < 0.4 ? 0 : 1 + random())),
      );
      const chosen = bestAssignment(worth);
      const columnsTaken = chosen.filter((column) => column !== null);
      expect(new Set(columnsTaken).size).toBe(columnsTaken.length);
      const sum = chosen.reduce<number>(
        (total, column, row) => total + (column === null ? 0 : (worth[row]?.[column] ?? 0)),
        0,
      );
      expect(sum).toBeCloseTo(best(worth), 12);
    }
  });
});

describe("Metrics of detection", () => {
  const hit = (confidence: number) => ({ confidence, hit: true });
  const alarm = (confidence: number) => ({ confidence, hit: false });
  const cases: FoundInCase[] = [
    { candidates: [hit(0.9), alarm(0.6)], lesions: 2 },
    { candidates: [alarm(0.8)], lesions: 0 },
    { candidates: [hit(0.5)], lesions: 1 },
    { candidates: [], lesions: 0 },
  ];

  it("are average precision in steps, without what was missed", () => {
    // 1 of 3 at precision 1, then 2 of 3 at 2 of 4.
    expect(averagePrecisionOfDrawn(cases)([0, 1, 2, 3])).toBeCloseTo(1 / 3 + (1 / 3) * (2 / 4), 12);
    expect(averagePrecisionOfDrawn(cases)([1, 3])).toBeNaN();
    // The third drawn twice: 1 of 4 at 1, then 3 of 4 at 3 of 5.
    expect(averagePrecisionOfDrawn(cases)([0, 1, 2, 2])).toBeCloseTo(1 / 4 + (2 / 4) * (3 / 5), 12);
  });

  it("are the share of lesions found at so many false positives a case", () => {
    expect(froc(cases).map((point) => [point.falsePositives, point.sensitivity])).toEqual([
      [0, 1 / 3],
      [0.25, 1 / 3],
      [0.5, 1 / 3],
      [0.5, 2 / 3],
    ]);
    expect(sensitivityAtFalsePositives(cases, 0.25)).toBeCloseTo(1 / 3, 12);
    expect(sensitivityAtFalsePositives(cases, 0.5)).toBeCloseTo(2 / 3, 12);
    expect(sensitivityAtFalsePositives(cases.slice(3), 1)).toBeNull();
  });
});
