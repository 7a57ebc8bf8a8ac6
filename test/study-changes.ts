import type { Basis } from "../dist/results/cell.js";
import { basesOf } from "../dist/study/basis.js";
import { changesOf } from "../dist/study/changes.js";
import type { StudyCohort } from "../dist/study/cohort-file.js";
import { planStudy } from "../dist/study/plan.js";
import type { Study } from "../dist/study/schema.js";

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
