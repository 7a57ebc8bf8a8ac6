import type { CohortColumns } from "../cohort/columns.js";

/** A field that contradicts others: of the task's own options, or of the study's `cohort`. */
export interface TaskFault {
  of: "task" | "cohort";
  path: PropertyKey[];
  message: string;
}

/** What a study says of every image, as far as tasks care. */
export interface PreparedAs {
  voxels: readonly [number, number, number];
  columns: CohortColumns;
  /** By image. */
  normalise: Readonly<Record<string, { kind: "percentiles" | "range" | "z-score" }>>;
}
