import { requireFinite, requireOptions, requireWhole } from "../common/arguments.js";
import { expected } from "../common/errors.js";
import { average } from "../common/numbers.js";
import { randomStream } from "../common/random.js";
import { paperTasks } from "../common/vocabulary.js";
import type { CellResult } from "../results/cell.js";
import type { Claim } from "../results/claims.js";
import { floorFromZero } from "../tasks/floors.js";
import { ownStrategy } from "../tasks/index.js";
import { computeClaims } from "./claims.js";

/** What a simulated study is drawn from; spreads are standard deviations in the metric's unit. */
export interface SimulatedStudy {
  /** Foundation models, each fine-tuned and trained from scratch on every task. Default 1. */
  models?: number;
  /** How many of the five tasks. Default 5. */
  tasks?: number;
  seeds: number;
  patients: number;
  /** How many of the patients each seed tests, where each divides them anew; left out: every seed tests all of them. */
  tested?: number;
  /** Test cases a patient. Default 1. */
  casesPerPatient?: number;
  /** What pretraining truly adds to the metric. Default 0. */
  gain?: number;
  /** The mean of models trained from scratch. Default 0.5. */
  reference?: number;
  /** From one training to the next, over all patients alike. */
  runSpread: number;
  /** From patient to patient, of how much better the fine-tuned model is. */
  patientSpread: number;
  /** Of what is left of a single number. */
  restSpread: number;
}

/** More would only take memory. */
const mostNumbers = 50_000_000;

/**
 * Draws the results of a study in which the truth is known, as cells whose claims can be computed: to see how often a
 * verdict is right. Draws come from the stream `("simulation", study)` under `seed`.
 *
 * @throws `BAD_INPUT` for settings out of range
 */
export function simulateStudy(settings: SimulatedStudy, seed: number, study = 0): CellResult[] {
  requireOptions(settings, "settings");
  const { models = 1, tasks = 5, seeds, patients, casesPerPatient = 1, gain = 0, reference = 0.5 } = settings;
  const { runSpread, patientSpread, restSpread } = settings;
  for (const [name, value] of Object.entries({ models, tasks, seeds, patients, casesPerPatient }))
    requireWhole(value, `settings.${name}`, 1);
  for (const [name, value] of Object.entries({ gain, reference, runSpread, patientSpread, restSpread }))
    requireFinite(value, `settings.${name}`);
  if (models * tasks * seeds * patients * casesPerPatient > mostNumbers)
    throw expected(`a study of at most ${mostNumbers} numbers`, "settings", settings);
  requireWhole(seed, "seed");
  requireWhole(study, "study", 0);
  const { tested } = settings;
  if (tested !== undefined) {
    requireWhole(tested, "settings.tested", 1);
    if (tested >= patients) throw expected(`fewer than the ${patients} patients`, "settings.tested", tested);
  }
  const { normal, shuffle } = randomStream(seed, "simulation", study);
  const everybody = Array.from({ length: patients }, (_, patient) => patient);
  const testedBy = Array.from({ length: seeds }, () =>
    tested === undefined ? everybody : shuffle(everybody).slice(0, tested),
  );
  const division = tested === undefined ? {} : { division: { patients, tested } };
  const cells: CellResult[] = [];
  for (const task of paperTasks.slice(0, tasks)) {
    const strategy = ownStrategy(task);
    for (let m = 0; m < models; m++) {
      // Of either model by itself; the difference of two has twice the variance.
      const share = Math.SQRT1_2;
      const ofPatient = [0, 1].map(() =>
        Array.from({ length: patients }, () => share * patientSpread * normal()),
      );
      for (let s = 1; s <= seeds; s++) {
        for (const [side, comparator] of (["fine-tuned", "from-scratch"] as const).entries()) {
          const run = share * runSpread * normal();
          const mean = reference + (side === 0 ? gain : 0) + run;
          const cases = (testedBy[s - 1] as number[]).flatMap((i) =>
            Array.from({ length: casesPerPatient }, (_, c) => ({
              case: `${i}-${c}`,
              patient: String(i),
              value: mean + (ofPatient[side]?.[i] as number) + share * restSpread * normal(),
            })),
          );
          cells.push({
            ...cellOf({ task, strategy, model: `model ${m}`, comparator, seed: s, cases }),
            ...division,
          });
        }
      }
    }
  }
  return cells;
}

/** What a simulated study concludes. @throws `BAD_INPUT` as `simulateStudy` */
export const simulateClaims = (settings: SimulatedStudy, seed: number, study = 0): Claim[] =>
  computeClaims(simulateStudy(settings, seed, study));

function cellOf({
  cases,
  ...of
}: Pick<CellResult, "task" | "strategy" | "model" | "comparator" | "seed"> & {
  cases: CellResult["metric"]["cases"];
}): CellResult {
  const values = cases.map(({ value }) => value as number);
  const mean = average(values);
  return {
    ...of,
    id: [of.model, of.task, of.comparator, of.seed].join("--"),
    network: { architecture: "simulated", parameters: 0, trainable: 0 },
    metric: { name: "SSIM", floor: floorFromZero, mean, standardDeviation: 0, cases, secondary: {} },
    curve: [],
    bestEpoch: null,
    cost: {
      ...{ wallSeconds: 0, deviceSeconds: 0, peakMemoryBytes: 0, epochSeconds: [], epochEmbedded: [] },
      ...{ device: "cpu", threads: 1 },
    },
  };
}
