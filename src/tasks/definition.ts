import type { z } from "zod";
import type { CohortColumns } from "../cohort/columns.js";
import { describe } from "../common/errors.js";
import { nearest } from "../common/validation.js";
import type { Strategy } from "../common/vocabulary.js";
import type { SpecialisedName } from "../models/catalogue.js";
import type { ExpectedSpread } from "./expected-spreads.js";
import type { PreparedAs, TaskFault } from "./faults.js";
import type { Task } from "./task.js";
import type { Trivial } from "./trivial/trivial.js";

/** A task's options, complete. */
export type OptionsOf<Shape extends z.core.$ZodLooseShape> = z.infer<z.ZodObject<Shape>>;

/** Options of a task that a study may have given a name. */
export type Named<Options> = Options & { name?: string | undefined };

/** Which values of a metric are the better ones. */
export type Better = "higher" | "lower";

/** Everything about a task: one file each, listed in `tasks/kinds.ts`. */
export interface TaskDefinition<
  Kind extends string = string,
  Shape extends z.core.$ZodLooseShape = z.core.$ZodLooseShape,
> {
  readonly kind: Kind;
  /** As a person writes it at the beginning of a line. */
  readonly label: string;
  /** For the documentation, which has its fields with their descriptions (`.describe`) below: what is learnt, and how it is judged. */
  readonly about?: string;
  /** Its options, as they stand in a study file beside `kind`. */
  readonly options: Shape;
  readonly metric: {
    readonly name: string;
    readonly better: Better;
    /** A best result of all networks that does not reach it says that nobody has learnt the task; null: no value says so. */
    readonly floor: number | null;
    /** The difference that does not matter in practice, where a study does not say otherwise. */
    readonly margin: number;
    /** How much the difference of two models scatters, which a study is planned with that does not say it. */
    readonly spread: ExpectedSpread;
  };
  /** The strategy that the task is defined by, which its specialised model follows; default: `direct`. */
  readonly ownStrategy?: Strategy;
  /** The specialised model that the paper sets beside the foundation models. */
  readonly specialised: SpecialisedName;
  /** The options with what follows from the cohort's columns filled in. */
  complete?(options: OptionsOf<Shape>, columns: CohortColumns): OptionsOf<Shape>;
  /** What no single field shows: options that contradict each other, or what is said of the images. */
  faults?(options: OptionsOf<Shape>, prepared: PreparedAs): TaskFault[];
  /** The task, learnt by a strategy that is one of its own. */
  create(options: Named<OptionsOf<Shape>>, strategy: Strategy): Task;
  /** What a network must beat: the best answer that takes none. */
  trivial(options: Named<OptionsOf<Shape>>): Trivial;
}

/** Says what a task is, with its options' types. */
export const defineTask = <Kind extends string, Shape extends z.core.$ZodLooseShape>(
  definition: TaskDefinition<Kind, Shape>,
): TaskDefinition<Kind, Shape> => definition;

/** The fault of an option that names a column which the cohort does not have; none where it has, or nothing is named. */
export function columnFault<Kind extends "images" | "masks" | "labels">(
  columns: Record<Kind, Readonly<Record<string, unknown>> | readonly string[]>,
  kind: Kind,
  path: PropertyKey[],
  column: string | undefined,
  what: string = kind,
): TaskFault[] {
  const table = columns[kind];
  const names = Array.isArray(table) ? (table as readonly string[]) : Object.keys(table);
  if (column === undefined || names.includes(column)) return [];
  const near = nearest(column, names);
  const hint = near === null ? "" : `. Did you mean ${describe(near)}?`;
  const known =
    names.length === 0 ? "of which there are none" : names.map((name) => describe(name)).join(", ");
  const message = `expected one of the cohort's ${what} (${known}) but received ${describe(column)}${hint}`;
  return [{ of: "task", path, message }];
}
