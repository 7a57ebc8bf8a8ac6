import type { Basis } from "../dist/results/cell.js";
import type { Study } from "../dist/study/config/schema.js";
import { basesOf } from "../dist/study/plan/basis.js";
import { changesOf } from "../dist/study/plan/changes.js";
import type { StudyCohort } from "../dist/study/plan/cohort-file.js";
import { planStudy } from "../dist/study/plan/plan.js";

const nobody: StudyCohort = {
  ...{ manifest: "", cases: 0, patients: 0, tasks: {}, pretraining: {}, excluded: [] },
  split: { train: [], validation: [], test: [] },
};

/** By id, why a cell that both studies have is another one in the second: of no cases, so that the studies alone count. */
export function studyChanges(before: Study, now: Study): Record<string, string> {
  const of = (study: Study) => basesOf(study, planStudy(study), nobody, new Map());
  const was = of(before);
  return Object.fromEntries(
    [...of(now)].flatMap(([id, basis]) => {
      const reason = was.has(id) ? changesOf({ ...was.get(id), weights: null } as Basis, basis) : null;
      return reason === null ? [] : [[id, reason]];
    }),
  );
}
