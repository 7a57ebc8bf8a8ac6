/**
 * How often intervals hold the truth, and verdicts are wrong, in studies whose truth is known: through the program's own
 * code, from cells' numbers on. The tables of docs/methods.md come from here. Each part takes minutes on one core.
 *
 *   node scripts/coverage.mjs claims | margin | percent | specificity | relation  [--studies n]
 */
import { parseArgs } from "node:util";
import { randomStream } from "../dist/common/random.js";
import { statistics } from "../dist/index.js";
import { computeClaims } from "../dist/statistics/claims.js";
import { specificityDifference, specificityInterval } from "../dist/statistics/classification-intervals.js";
import { simulateClaims, simulateStudy } from "../dist/statistics/simulation.js";
import { ownStrategy, taskKinds } from "../dist/tasks/index.js";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { studies: { type: "string" } },
});
const [part] = positionals;
const studiesOr = (usual) => (options.studies === undefined ? usual : Number(options.studies));

/** Counts of yes among all, by key, in the order in which keys came. */
class Shares {
  #counts = new Map();
  add(key, yes) {
    const count = this.#counts.get(key) ?? { yes: 0, all: 0 };
    this.#counts.set(key, count);
    count.all++;
    if (yes) count.yes++;
  }
  print(title) {
    console.log(`\n${title}`);
    for (const [key, { yes, all }] of [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
      console.log(`  ${key}: ${((100 * yes) / all).toFixed(1)} % of ${all}`);
  }
}

const padded = (value) => String(value).padStart(3);
const holds = ({ low, high }, truth) => low <= truth && truth <= high;

/** 2,000 studies in which pretraining changes nothing, 1 to 10 seeds, 10 to 148 patients of 1 to 4 cases. */
function claims() {
  const [supported, covered] = [new Shares(), new Shares()];
  const random = randomStream(31, "settings");
  const pick = (list) => list[random.integer(0, list.length - 1)];
  for (let study = 0; study < studiesOr(2000); study++) {
    const noise = pick([0, 0.3, 1, 3]);
    const settings = {
      seeds: random.integer(1, 10),
      patients: pick([10, 20, 37, 80, 148]),
      casesPerPatient: random.integer(1, 4),
      runSpread: 0.05 * noise,
      patientSpread: 0.05,
      restSpread: pick([0.01, 0.03, 0.1]),
    };
    const own = simulateClaims(settings, 31, study);
    const any = own.some(({ verdict }) => verdict === "supported");
    supported.add("all", any);
    supported.add(`trainings scatter ${noise} times as much as patients`, any);
    supported.add(`${padded(settings.seeds)} seeds`, any);
    for (const { difference } of own) {
      if (difference.low === null) continue;
      covered.add(`${padded(settings.seeds)} seeds`, holds(difference, 0));
      if (settings.seeds < 5) continue;
      covered.add("from five seeds on", holds(difference, 0));
      covered.add(`from five seeds on, ${noise} times`, holds(difference, 0));
    }
  }
  supported.print("studies with a claim that is called supported, where nothing is true");
  covered.print("intervals of differences that hold the truth");
}

/** A true difference of just the margin, of either sign, called practically equal; spreads small enough to be called so. */
function margin() {
  const equal = new Shares();
  let setting = 0;
  for (const seeds of [2, 3, 5, 10]) {
    for (const [patients, spread] of [
      [37, 0.003],
      [37, 0.01],
      [148, 0.01],
      [148, 0.03],
    ]) {
      for (const run of [0, 0.3, 1]) {
        // Settings of one size would otherwise share their draws, and studies be fewer than they seem.
        const first = 1_000_000 * setting++;
        for (let study = 0; study < studiesOr(400); study++) {
          const settings = {
            ...{ tasks: 1, seeds, patients, gain: study % 2 ? 0.01 : -0.01 },
            runSpread: run * Math.min(spread, 0.01),
            patientSpread: spread,
            restSpread: spread,
          };
          const cells = simulateStudy(settings, 32, first + study);
          const [claim] = computeClaims(cells, { margins: { [cells[0].task]: 0.01 } });
          const is = claim.verdict === "practically-equal";
          equal.add("all", is);
          equal.add(`${padded(seeds)} seeds`, is);
          equal.add(`SD ${spread} over ${padded(patients)} patients`, is);
        }
      }
    }
  }
  equal.print("claims called practically equal, where the difference is the margin");
}

/** Fieller's sets of the ratio to references from .03 to .9; an unbounded set holds everything. */
function percent() {
  const [covered, given, unbounded, contradicting] = [new Shares(), new Shares(), new Shares(), new Shares()];
  for (const reference of [0.03, 0.1, 0.3, 0.6, 0.9]) {
    for (const seeds of [3, 5, 10]) {
      for (let study = 0; study < studiesOr(200); study++) {
        const gain = [0, 0.2, 1][study % 3] * Math.min(reference, 0.1);
        const settings = {
          ...{ tasks: 5, seeds, patients: [10, 37, 148][Math.floor(study / 3) % 3], gain, reference },
          runSpread: 0.05 * [0, 0.3, 1][Math.floor(study / 9) % 3],
          patientSpread: 0.05,
          restSpread: 0.03,
        };
        for (const { percent: set, difference } of simulateClaims(settings, 33, study)) {
          const bounded = set !== null && set.low !== null;
          const held = !bounded || holds(set, (100 * gain) / reference);
          covered.add(`reference ${reference.toFixed(2)}, ${padded(seeds)} seeds`, held);
          covered.add(`reference ${reference.toFixed(2)}`, held);
          unbounded.add(`reference ${reference.toFixed(2)}`, !bounded);
          if (!bounded) continue;
          given.add(`reference ${reference.toFixed(2)}`, held);
          const [above, below] = [set.low > 0, set.high < 0];
          contradicting.add("all", above !== difference.low > 0 || below !== difference.high < 0);
        }
      }
    }
  }
  covered.print("sets of the gain in percent that hold the truth");
  given.print("those among them that are bounded, and printed");
  unbounded.print("sets that are unbounded, or none because the reference's mean is not above 0");
  contradicting.print(
    "sets that leave out 0 % where the difference's interval does not leave out 0, or the other way",
  );
}

/** Of scores N(0, 1) and N(d, 1) the specificity at a sensitivity of 0.9 is the normal distribution at d - 1.2815516. */
function specificity() {
  const [single, two] = [new Shares(), new Shares()];
  const studies = studiesOr(1000);
  for (const [positives, negatives] of [
    [22, 15],
    [30, 30],
    [60, 60],
    [88, 60],
  ]) {
    for (const [distance, truth] of [
      [0.8, 0.3150601],
      [1.4, 0.5471407],
      [2.2, 0.8207821],
    ]) {
      const random = randomStream(34, "specificity", positives, negatives, distance);
      const labels = Array.from({ length: positives + negatives }, (_, i) => i < positives);
      const key = `${positives} and ${negatives} cases, specificity ${truth.toFixed(2)}`;
      for (let seed = 0; seed < studies; seed++) {
        const scores = labels.map((label) => random.normal(label ? distance : 0));
        single.add(key, holds(specificityInterval({ labels, scores }, { seed, resamples: 400 }), truth));
      }
    }
  }
  for (const [positives, negatives] of [
    [22, 15],
    [88, 60],
  ]) {
    const labels = Array.from({ length: positives + negatives }, (_, i) => i < positives);
    for (const trainings of [0, 0.3, 1]) {
      for (const seeds of [3, 5, 10]) {
        const random = randomStream(38, "two", positives, trainings, seeds);
        const key = `distances scatter by ${trainings.toFixed(1)}, ${padded(seeds)} seeds`;
        for (let seed = 0; seed < studies / 4; seed++) {
          // Two models that are alike: scores are those of the patients, with each training's noise.
          const patients = labels.map(() => random.normal());
          const model = () => {
            const own = labels.map(() => random.normal(0, 0.5));
            return Array.from({ length: seeds }, () => {
              const apart = 1.4 + random.normal(0, trainings);
              return labels.map(
                (label, i) => (label ? apart : 0) + patients[i] + own[i] + random.normal(0, 0.5),
              );
            });
          };
          const cases = { labels, first: model(), second: model() };
          two.add(key, holds(specificityDifference(cases, { seed, resamples: 200 }), 0));
        }
      }
    }
  }
  single.print("intervals of the specificity that hold it, one model");
  two.print("intervals of the difference of two equal models that hold 0");
}

/** Five tasks' gains over random weights and distances, both with the noise of patients and of trainings. */
function relation() {
  const [covered, widths, found] = [new Shares(), new Map(), new Map()];
  const patients = 37;
  for (const [name, gains, distances] of [
    ["r = 0.98", [0.02, 0.05, 0.08, 0.11, 0.14], [0.2, 0.3, 0.5, 0.6, 0.9]],
    ["r = 0.35", [0.02, 0.11, 0.05, 0.14, 0.08], [0.2, 0.3, 0.5, 0.6, 0.9]],
  ]) {
    const truth = statistics.pearson(gains, distances, { p: "student" }).r;
    for (const seeds of [3, 5, 10]) {
      for (const noise of [0.5, 1]) {
        const key = `${name}, ${padded(seeds)} seeds, noise ${noise}`;
        for (let study = 0; study < studiesOr(60); study++) {
          const spread = {
            runSpread: 0.03 * noise,
            patientSpread: 0.08 * noise,
            restSpread: 0.05 * noise,
          };
          const random = randomStream(35, "distances", name, seeds, noise, study);
          const cells = [];
          const measured = [];
          for (const [index, task] of taskKinds.entries()) {
            const of = { task, strategy: ownStrategy(task), model: "model 0" };
            const drawn = simulateStudy(
              { tasks: 1, seeds, patients, gain: gains[index], ...spread },
              36 + index,
              study,
            );
            for (const cell of drawn) {
              const comparator = cell.comparator === "fine-tuned" ? "fine-tuned" : "random-weights";
              cells.push({ ...cell, ...of, comparator, id: `${task} ${comparator} ${cell.seed}` });
            }
            // What a patient adds is in part the same in every training.
            const ofPatients = Array.from({ length: patients }, () => random.normal(0, 0.25 * noise));
            for (let seed = 1; seed <= seeds; seed++) {
              const own = ofPatients.map((value) => value + random.normal(0, 0.15 * noise));
              const mean = own.reduce((sum, value) => sum + value, 0) / patients;
              const biased = distances[index] + 2 * mean + random.normal(0, 0.08 * noise);
              const shares = own.map((value) => biased + value - mean);
              measured.push({ ...of, seed, name: "D2R", paper: { biased, saturated: false }, shares });
            }
          }
          const [{ r, resampled }] = statistics.computeRelations(
            {
              cells: cells.map((result) => ({ ...result, status: "done", result })),
              claims: computeClaims(cells),
              distances: measured,
            },
            { resamples: 200 },
          );
          covered.add(key, holds(resampled, truth));
          found.set(key, [...(found.get(key) ?? []), { r, resampled }]);
          widths.set(key, [...(widths.get(key) ?? []), resampled.high - resampled.low]);
        }
      }
    }
  }
  covered.print(
    "intervals of r with patients and seeds drawn anew that hold the true r, five tasks and 37 patients",
  );
  const seen = new Shares();
  for (const [key, all] of found) {
    const middle = Math.tanh(all.reduce((sum, { r }) => sum + Math.atanh(r), 0) / all.length);
    for (const { resampled } of all) seen.add(`${key}: ${middle.toFixed(2)}`, holds(resampled, middle));
  }
  seen.print("the same, that hold the r which studies of such noise find in the middle");
  for (const [key, all] of widths)
    console.log(
      `  ${key}: ${(all.reduce((sum, one) => sum + one, 0) / all.length).toFixed(2)} wide on average`,
    );
}

const parts = { claims, margin, percent, specificity, relation };
const chosen = parts[part];
if (!chosen) {
  console.error(`Expected one of ${Object.keys(parts).join(", ")} but received ${part ?? "nothing"}`);
  process.exit(2);
}
chosen();
