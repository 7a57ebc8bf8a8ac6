import { groupBy } from "../common/group-by.js";
import { average } from "../common/numbers.js";
import type { CellResult } from "../results/cell.js";
import { patientsOf, valuesByCase } from "./cells.js";
import { turned } from "./direction.js";
import { type DividedDifference, dividedDifference } from "./divided.js";

/** What a claim says of a study whose seeds divide the patients anew. */
export interface DividedClaim {
  dividedAnew: true;
  /** Whom any division tests, and their cases. */
  patients: number;
  cases: number;
  fineTuned: number;
  referenceValue: number;
  /** Better by so much. */
  estimate: number;
  /** On how many of the patients the fine-tuned model is better; null for a metric that only a whole test set has. */
  better: number | null;
  divided: DividedDifference | null;
}

/** What pairs of cells say, one a division: it tests other patients than the next, so that it counts as one number. */
export function dividedClaim(
  pairs: readonly (readonly [CellResult, CellResult])[],
  division: NonNullable<CellResult["division"]>,
  direction: 1 | -1,
): DividedClaim {
  const gains = new Map<string, number[]>();
  const means = pairs.map((pair) => {
    const [own, other] = pair;
    const ofSet = own.metric.standardDeviation === null;
    const [values, others] = [valuesByPatient(own), valuesByPatient(other)];
    const shared = ofSet ? [] : [...values.keys()].filter((patient) => others.has(patient));
    if (shared.length === 0) return [own.metric.mean as number, other.metric.mean as number] as const;
    const of = (side: ReadonlyMap<string, number>) => shared.map((patient) => side.get(patient) as number);
    for (const patient of shared) {
      const gain = (values.get(patient) as number) - (others.get(patient) as number);
      gains.set(patient, [...(gains.get(patient) ?? []), gain]);
    }
    return [average(of(values)), average(of(others))] as const;
  });
  const [first, second] = [means.map(([own]) => own), means.map(([, other]) => other)];
  const tested = pairs.flatMap(([{ metric }]) => metric.cases);
  const [fineTuned, referenceValue] = [average(first), average(second)];
  return {
    dividedAnew: true,
    patients: new Set(tested.map(({ case: id, patient = id }) => patient)).size,
    cases: new Set(tested.map(({ case: id }) => id)).size,
    ...{ fineTuned, referenceValue, estimate: turned(fineTuned - referenceValue, direction) },
    better:
      gains.size === 0 ? null : [...gains.values()].filter((own) => direction * average(own) > 0).length,
    divided: dividedDifference(first, second, division),
  };
}

/** The mean of each patient's cases that have a value. */
function valuesByPatient(cell: CellResult): Map<string, number> {
  const patientOf = patientsOf(cell);
  const byPatient = groupBy([...valuesByCase(cell)], ([id]) => patientOf.get(id) as string);
  return new Map([...byPatient].map(([patient, own]) => [patient, average(own.map(([, value]) => value))]));
}
