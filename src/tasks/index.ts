import type { CohortColumns } from "../cohort/columns.js";
import { expected } from "../common/errors.js";
import {
  inTaskOrder,
  type Strategy,
  strategies,
  type TaskName,
  type TaskVariant,
} from "../common/vocabulary.js";
import type { Better, OptionsOf, TaskDefinition } from "./definition.js";
import type { PreparedAs, TaskFault } from "./faults.js";
import * as listed from "./kinds.js";
import type { Task } from "./task.js";
import type { Trivial } from "./trivial/trivial.js";

type Listed = (typeof listed)[keyof typeof listed];
/** A kind of task. @useDeclaredType */
export type TaskKind = Listed["kind"];
/** What is said of a kind, with its options' types. */
export type DefinitionOf<Kind extends TaskKind> = Extract<Listed, { readonly kind: Kind }>;

const byKind = new Map<string, Listed>(
  Object.values(listed).map((definition) => [definition.kind, definition]),
);

/** Every kind of task: those of the paper in its order, each of which is one, then those that a study fills in. */
export const taskKinds = inTaskOrder(byKind.keys()) as readonly TaskKind[];

/** A task's kind and options, complete, and the name that a study gives it. */
export type TaskSpec = {
  [Kind in TaskKind]: { kind: Kind; name?: TaskName | undefined } & OptionsOf<DefinitionOf<Kind>["options"]>;
}[TaskKind];

/** What a task is, which is given no options of another. */
export const definitionOf = (kind: TaskKind): TaskDefinition => byKind.get(kind) as unknown as TaskDefinition;

/** The strategy that a task is defined by, which its specialised model follows: as its kind says, told by its name alone. */
export const ownStrategy = (task: TaskName): Strategy =>
  (isKind(task) ? definitionOf(task).ownStrategy : undefined) ?? "direct";

/** `super-resolution`, and for a strategy that is not the task's own `super-resolution by diffusion`. */
export const variantName = ({ task, strategy }: TaskVariant, joint = " by "): string =>
  strategy === ownStrategy(task) ? task : `${task}${joint}${strategy}`;

/** The strategies by which a task is to be learnt, always in the same order. */
export const strategiesOf = (spec: TaskSpec): readonly Strategy[] =>
  "strategies" in spec
    ? strategies.filter((strategy) => spec.strategies.includes(strategy))
    : [ownStrategy(nameOf(spec))];

/** What a study calls a task: its kind, where it says no name. */
export const nameOf = ({ kind, name = kind }: { kind: TaskKind; name?: TaskName | undefined }): TaskName =>
  name;

/**
 * The task behind its name and options, learnt by a strategy: by default the one that the paper defines it by.
 *
 * @throws `BAD_INPUT` for a strategy by which the task cannot be learnt
 */
export function taskOf(spec: TaskSpec, strategy: Strategy = ownStrategy(nameOf(spec))): Task {
  const own = ownStrategy(nameOf(spec));
  if (!("strategies" in spec) && strategy !== own)
    throw expected(`"${own}", the one strategy of ${spec.kind},`, "strategy", strategy);
  const name = nameOf(spec);
  const task = definitionOf(spec.kind).create({ ...spec, name }, strategy);
  return task.name === name ? task : { ...task, name };
}

/** What a network must beat in a task: the best answer that takes none. */
export const trivialOf = (spec: TaskSpec): Trivial =>
  definitionOf(spec.kind).trivial({ ...spec, name: nameOf(spec) });

/** Options of a task that contradict each other, or what is said of the images. */
export const taskFaults = (spec: TaskSpec, prepared: PreparedAs): TaskFault[] =>
  definitionOf(spec.kind).faults?.(spec, prepared) ?? [];

/** The options of a task with what follows from the cohort's columns filled in. */
export const completedTask = <Spec extends TaskSpec>(spec: Spec, columns: CohortColumns): Spec =>
  (definitionOf(spec.kind).complete?.(spec, columns) as Spec | undefined) ?? spec;

/** A task as a person writes it at the beginning of a line, by what a study calls it. */
export function labelOfTask(name: TaskName): string {
  if (isKind(name)) return definitionOf(name).label;
  const words = name.replace(/[-_.]+/g, " ");
  return `${words.slice(0, 1).toUpperCase()}${words.slice(1)}`;
}

/** Whether a name is that of a kind, which no task of another kind may have. */
export const isKind = (name: TaskName): name is TaskKind => byKind.has(name);

/** Which values of a task's metric are the better ones. */
export const betterOf = ({ kind }: Pick<TaskSpec, "kind">): Better => definitionOf(kind).metric.better;

/** What a task's metric must reach before anything counts as learnt; null: no value says so. */
export const floorOf = ({ kind }: Pick<TaskSpec, "kind">, { floor }: Pick<Task, "floor">): number | null =>
  floor ?? definitionOf(kind).metric.floor;
