import { describe, expect, it } from "vitest";
import { randomStream } from "../dist/common/random.js";
import type { TaskName } from "../dist/common/vocabulary.js";
import { summarise } from "../dist/report/report-summary.js";
import { claimsSection } from "../dist/report/sections/claims.js";
import { modelAnswers } from "../dist/report/sentences.js";
import type { Claim, GainReference, Verdict } from "../dist/results/claims.js";
import type { StudyResults } from "../dist/results/study.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { studyResults } from "./report-fixture.js";

const studies = 500;
const words: Record<string, Verdict> = {
  better: "supported",
  worse: "contradicted",
  "practically equal": "practically-equal",
  undecided: "undetermined",
};
const inProse: Partial<Record<GainReference, string>> = {
  "from-scratch": "training from scratch",
  specialised: "the specialised model",
  trivial: "what takes no network",
};
const taskNames: Partial<Record<TaskName, string>> = {
  "lesion-segmentation": "lesion segmentation",
  "super-resolution": "super-resolution",
  "distortion-correction": "distortion correction",
};
const minus = (text: string) => Number(text.replace("\u2212", "-"));

const made: StudyResults[] = [];
const randomStudy = (study: number): StudyResults => {
  made[study] ??= drawStudy(study);
  return made[study];
};

/** A study of random size, whose means lie at random: near each other, far apart, at the floor. */
function drawStudy(study: number): StudyResults {
  const random = randomStream(97, "study", study);
  const of = <Item>(items: readonly Item[]): Item =>
    items[Math.min(items.length - 1, Math.floor(random.between(0, items.length)))] as Item;
  const level = new Map<string, number>();
  const near = of([0, 0.002, 0.01, 0.05, 0.2]);
  const mean = (task: string, comparator: string, model: string) => {
    const key = `${task} ${comparator === "specialised" || comparator === "trivial" ? comparator : `${model} ${comparator}`}`;
    const known = level.get(key) ?? Math.max(0.005, base(task) + random.normal(0, near));
    level.set(key, known);
    return known;
  };
  const bases = new Map<string, number>();
  const base = (task: string) => {
    const known = bases.get(task) ?? of([0.01, 0.3, 0.55, 0.7]);
    bases.set(task, known);
    return known;
  };
  const results = studyResults({
    tasks: (Object.keys(taskNames) as TaskName[]).slice(0, of([1, 2, 3])),
    models: of([["one"], ["one", "two"]]),
    seeds: of([[7], [1, 2], [1, 2, 3], [1, 2, 3, 4, 5]]),
    testCases: of([2, 5, 12]),
    epochs: 2,
    mean,
    ...(of([true, false]) ? { trivial: (task: TaskName) => mean(task, "trivial", "") } : {}),
    status: () => (random.between(0, 1) < 0.03 ? "failed" : "done"),
  });
  results.claims = computeClaims(results.cells.flatMap(({ result }) => result ?? []));
  results.relations = []; // of which no sentence here speaks, and whose intervals take seconds a study
  return results;
}

const learnt = (claim: Claim) => Math.max(claim.fineTuned, claim.referenceValue) >= 0.05;

/** What a clause says: on how many tasks each verdict was given, and on which. */
function clause(
  text: string,
  reference: GainReference,
): Map<Verdict, { count: number; tasks: string[] }> | null {
  const start = new RegExp(`[Oo]ver ${inProse[reference]}, (?:\\S+ is )?(better on [^;.]*)`).exec(text)?.[1];
  if (start === undefined) return null;
  const found = [
    ...start.matchAll(
      /(better|worse|practically equal|undecided) on (none|\d+)(?: of (\d+) tasks?)?(?: \(([^)]*)\))?/g,
    ),
  ];
  return new Map(
    found.map(([, word, count, , names]) => [
      words[word as string] as Verdict,
      {
        count: count === "none" ? 0 : Number(count),
        tasks: names === undefined ? [] : names.split(/, | and /),
      },
    ]),
  );
}

describe(`the sentences on ${studies} random studies`, () => {
  const seen = new Map<string, number>();
  const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1);

  it("count and name what the claims say, and give verdicts of several seeds alone", () => {
    for (let study = 0; study < studies; study++) {
      const results = randomStudy(study);
      for (const { model, answer, more } of modelAnswers(summarise(results))) {
        const text = `${answer} ${more}`;
        const mine = (results.claims ?? []).filter((claim) => claim.model === model);
        for (const reference of ["from-scratch", "specialised", "trivial"] as const) {
          const claims = mine.filter(
            (claim) =>
              claim.reference === reference &&
              (reference === "from-scratch" ? learnt(claim) : claim.seeds.length > 1),
          );
          const said = clause(text, reference);
          if (said === null) {
            expect(
              claims.filter(({ seeds }) => seeds.length > 1),
              `${study}: ${text}`,
            ).toEqual([]);
            continue;
          }
          note(reference);
          for (const verdict of Object.values(words)) {
            const those = claims.filter((claim) => claim.verdict === verdict);
            expect(said.get(verdict)?.count ?? 0, `${study} ${reference} ${verdict}: ${text}`).toBe(
              those.length,
            );
            if (those.length > 0) note(verdict);
            if (those.length > 0 && (verdict === "supported" || verdict === "contradicted"))
              expect(said.get(verdict)?.tasks.sort(), `${study}: ${text}`).toEqual(
                those.map(({ task }) => taskNames[task] as string).sort(),
              );
          }
        }
        const unbeaten = mine.filter(
          ({ reference, difference, verdict }) =>
            reference === "trivial" && (difference.estimate <= 0 || verdict === "practically-equal"),
        );
        expect(
          /does not beat what takes no network on (\d+)/.exec(answer)?.[1] ?? "0",
          `${study}: ${text}`,
        ).toBe(String(unbeaten.length));
        if (unbeaten.length > 0) {
          note("not beyond trivial");
          expect(answer.startsWith(`${model} does not beat what takes no network`)).toBe(true);
        }
        if (mine.every(({ seeds }) => seeds.length < 2)) {
          note("one seed");
          expect(text, `${study}`).not.toMatch(/(better|worse|practically equal) on /);
        }
      }
    }
    // No kind of study was left out by chance.
    for (const what of [...Object.values(words), ...Object.keys(inProse), "not beyond trivial", "one seed"])
      expect(seen.get(what) ?? 0, what).toBeGreaterThan(10);
  }, 600_000);

  it("give on the cards the numbers of the claims, none of which contradicts another or the verdict", () => {
    for (let study = 0; study < studies; study++) {
      const results = randomStudy(study);
      const html = String(claimsSection(summarise(results)) ?? "");
      for (const [, title, body] of html.matchAll(
        /<article class="claim"><h3>([^<]*)<\/h3>(.*?)<\/article>/gs,
      )) {
        const mine = (results.claims ?? []).filter(
          (claim) => `${claim.model}: ${taskNames[claim.task]}` === title?.toLowerCase(),
        );
        for (const [, over, verdict, effect] of (body as string)
          .replaceAll("\u00a0", " ")
          .matchAll(/<dt>Over ([^<:]*)(?:: <strong>([^<]*)<\/strong>)?<\/dt>\s*<dd>([^<]*)<\/dd>/g)) {
          if (verdict === "not compared") continue;
          const claim = mine.find(({ reference }) => inProse[reference] === over) as Claim;
          const about = `${study} ${title} over ${over}: ${verdict}, ${effect}`;
          expect(verdict === undefined ? claim.seeds.length : words[verdict], about).toBe(
            verdict === undefined ? 1 : claim.verdict,
          );
          const said =
            /(\S+) against (\S+), ([+\u2212]?[\d.]+)(?: \(95 % interval (\S+) to (\S+)\))?(?:, (\S+) %)?\./.exec(
              effect as string,
            );
          expect(said, about).not.toBeNull();
          const [, own, other, difference, low, high, percent] = said as RegExpExecArray;
          expect(minus(own as string), about).toBeCloseTo(claim.fineTuned, 2);
          expect(minus(other as string), about).toBeCloseTo(claim.referenceValue, 2);
          expect(Math.abs(minus(difference as string) - claim.difference.estimate), about).toBeLessThan(
            0.00051,
          );
          if (percent !== undefined && Math.abs(minus(difference as string)) > 0)
            expect(minus(percent) * minus(difference as string), about).toBeGreaterThanOrEqual(0);
          if (low === undefined || high === undefined) continue;
          expect(
            minus(low) <= minus(difference as string) && minus(difference as string) <= minus(high),
            about,
          ).toBe(true);
          if (verdict === "better") expect(minus(low), about).toBeGreaterThanOrEqual(0);
          if (verdict === "worse") expect(minus(high), about).toBeLessThanOrEqual(0);
          if (verdict === "practically equal")
            expect(Math.abs(minus(difference as string)), about).toBeLessThanOrEqual(
              claim.equivalence.margin,
            );
        }
      }
    }
  }, 600_000);
});
