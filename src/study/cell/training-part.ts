import type { PreparedCase } from "../../cohort/preprocess.js";
import { randomStream } from "../../common/random.js";
import type { Study } from "../config/schema.js";
import { seedOf } from "../config/seeds.js";
import type { PlannedCell } from "../plan/plan.js";

/**
 * The training cases of a cell: all, or those of as many patients as its learning curve asks for. Patients are drawn one
 * after the other from a stream of the seed's own, the same for every task, model and comparator: each smaller part lies in
 * every larger one. Cases keep their order.
 */
export function trainingPart(
  study: Pick<Study, "seed" | "seeds">,
  { patients: asked, seed }: Pick<PlannedCell, "patients" | "seed">,
  cases: readonly PreparedCase[],
): PreparedCase[] {
  if (asked === undefined) return [...cases];
  // Each patient has a draw of its own: who lacks what a task needs moves nobody else.
  const draw = (patient: string) =>
    randomStream(study.seed, "learning curve", seedOf(study, "order", seed), patient).uniform();
  const order = [...new Set(cases.map(({ patient }) => patient))]
    .map((patient) => ({ patient, draw: draw(patient) }))
    .sort((a, b) => a.draw - b.draw || (a.patient < b.patient ? -1 : 1));
  const count = asked < 1 ? Math.max(1, Math.round(asked * order.length)) : asked;
  const chosen = new Set(order.slice(0, count).map(({ patient }) => patient));
  return cases.filter(({ patient }) => chosen.has(patient));
}
