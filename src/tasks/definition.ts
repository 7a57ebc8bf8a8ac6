import type { z } from "zod";
import type { CohortColumns } from "../cohort/columns.js";
import type { Strategy, TaskKind } from "../common/vocabulary.js";
import type { SpecialisedName } from "../models/catalogue.js";
import type { Task } from "./task.js";
import type { Trivial } from "./trivial/trivial.js";

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

/** A task's options, complete. */
export type OptionsOf<Shape extends z.core.$ZodLooseShape> = z.infer<z.ZodObject<Shape>>;

/** Everything about a task: one file each, listed in `tasks/index.ts`. */
export interface TaskDefinition<
  Kind extends TaskKind = TaskKind,
  Shape extends z.core.$ZodLooseShape = z.core.$ZodLooseShape,
> {
  readonly kind: Kind;
  /** As a person writes it at the beginning of a line. */
  readonly label: string;
  /** Its options, as they stand in a study file beside `kind`. */
  readonly options: Shape;
  readonly metric: {
    readonly name: string;
    readonly better: "higher" | "lower";
    /** The difference that does not matter in practice, where a study does not say otherwise. */
    readonly margin: number;
  };
  /** The specialised model that the paper sets beside the foundation models. */
  readonly specialised: SpecialisedName;
  /** What no single field shows: options that contradict each other, or what is said of the images. */
  faults?(options: OptionsOf<Shape>, prepared: PreparedAs): TaskFault[];
  /** The task, learnt by a strategy that is one of its own. */
  create(options: OptionsOf<Shape>, strategy: Strategy): Task;
  /** What a network must beat: the best answer that takes none. */
  trivial(options: OptionsOf<Shape>): Trivial;
}

/** Says what a task is, with its options' types. */
export const defineTask = <Kind extends TaskKind, Shape extends z.core.$ZodLooseShape>(
  definition: TaskDefinition<Kind, Shape>,
): TaskDefinition<Kind, Shape> => definition;
