import type { PatientExposure } from "../../results/study.js";
import type { Study } from "../config/schema.js";
import type { Divisions, Manifests } from "./divisions.js";
import { planStudy, type StudyPlan } from "./plan.js";

/**
 * A study that was checked, with what its files say: read once, and handed on to whoever prepares, plans or runs it, so that
 * what was checked is what is worked on.
 */
export interface CheckedStudy {
  /** With every default filled in. */
  readonly study: Study;
  readonly plan: StudyPlan;
  readonly manifests: Manifests;
  readonly divisions: Divisions;
  /** Which patients the weights of its models have seen, of models whose weights come from elsewhere. */
  readonly exposure: readonly PatientExposure[];
}

/** The same study, executed otherwise: its cells and cases stay, their memory need not. */
export function withExecution(
  checked: CheckedStudy,
  changes: Partial<Pick<Study["execution"], "device" | "devices" | "threads" | "ranks" | "checkpointEvery">>,
): CheckedStudy {
  const study = { ...checked.study, execution: { ...checked.study.execution, ...changes } };
  const { device, ranks } = checked.study.execution;
  const isSame = study.execution.device === device && study.execution.ranks === ranks;
  return { ...checked, study, plan: isSame ? checked.plan : planStudy(study) };
}
