import type { MeasuredMetric } from "../../common/progress.js";
import type { CellResult, TrivialChoice } from "../../results/cell.js";
import type { Better } from "../../tasks/definition.js";
import { betterOf, taskOf, trivialOf } from "../../tasks/index.js";
import type { TrivialAnswer } from "../../tasks/trivial/trivial.js";
import type { TaskConfig } from "../config/schema.js";
import type { CellClaim } from "./cell-claim.js";
import { type CellContext, labelOf } from "./cell-context.js";
import { CostMeter } from "./cost-meter.js";
import { type Answerer, evaluateAnswers, type Presentation } from "./evaluate.js";
import { type OpenSets, openSets, test, testMetricOf } from "./test-set.js";
import { completeTestedCell } from "./tested-cell.js";

/**
 * Works on a cell that takes no network: fits the task's trivial answers to its training cases, and tests the best of them
 * on the cases, and by the metric, that networks are tested by. On the CPU, whatever the study's device is.
 */
export async function runTrivialCell(given: CellContext): Promise<{ metric: MeasuredMetric }> {
  const { cell, cohort, signal } = given;
  const study = { ...given.study, execution: { ...given.study.execution, device: "cpu" } };
  const context = { ...given, study };
  const config = study.tasks.find(({ name }) => name === cell.task) as TaskConfig;
  const strategy = cell.strategy as CellResult["strategy"];
  const plain = taskOf(config, strategy);
  const meter = await CostMeter.start(context);
  context.tell({ kind: "cell-started", cell: labelOf(cell), epochs: 0, startEpoch: 0 });

  const sets = await openSets(plain, cohort, cell, study);
  const task = plain.onTraining?.(sets.train) ?? plain;
  const better = betterOf(config);
  const present = { task, channels: task.shape.channels, seed: study.seed };
  const answers = await trivialOf(config).fit(sets.train, signal);
  const { answer, trivial } = await choose(present, better, answers, sets, signal);
  using tested = await test(task, [], (visit) =>
    evaluateAnswers(present, sets.test, signal, answererOf(answer), visit),
  );
  // Awaited, for what testing gave lives until this function ends.
  return await completeTestedCell(
    context.claim as CellClaim,
    cell,
    { ...sets, tested },
    {
      network: { architecture: "none", parameters: 0, trainable: 0 },
      trivial,
      metric: testMetricOf(task, config, tested.evaluation),
      curve: [],
      bestEpoch: null,
      cost: await meter.total(context, null),
      basis: { ...given.basis, weights: null },
    },
  );
}

const answererOf =
  (answer: TrivialAnswer): Answerer =>
  async ({ volumes, input }) => ({ prediction: await answer.answer(volumes, input), features: null });

/**
 * The best answer on the validation set, or on the training set where there is none or it leaves the metric undefined; of
 * equally good ones, and where neither set says anything, the first. What the validation set says of it is kept too: training
 * curves of networks are drawn beside it.
 */
async function choose(
  present: Presentation,
  better: Better,
  answers: readonly [TrivialAnswer, ...TrivialAnswer[]],
  sets: OpenSets,
  signal: AbortSignal,
): Promise<{ answer: TrivialAnswer; trivial: TrivialChoice }> {
  const valueOver = async (answer: TrivialAnswer, cases: OpenSets["train"]): Promise<number | null> => {
    if (cases.length === 0) return null;
    return (await evaluateAnswers(present, cases, signal, answererOf(answer))).assessment.value;
  };
  const chosen = (
    answer: TrivialAnswer,
    rest: Required<Pick<TrivialChoice, "chosenOn" | "tried" | "validation">>,
  ) => {
    const { name, detail } = answer;
    return { answer, trivial: { answer: name, ...(detail === undefined ? {} : { detail }), ...rest } };
  };
  const [first] = answers;
  if (answers.length === 1)
    return chosen(first, { chosenOn: null, tried: [], validation: await valueOver(first, sets.validation) });
  let tried: TrivialChoice["tried"] = [];
  for (const set of ["validation", "training"] as const) {
    const cases = set === "validation" ? sets.validation : sets.train;
    if (cases.length === 0) continue;
    tried = [];
    for (const answer of answers) tried.push({ answer: answer.name, value: await valueOver(answer, cases) });
    const worst = better === "higher" ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
    const values = tried.map(({ value }) => value ?? worst);
    const best = values.indexOf(better === "higher" ? Math.max(...values) : Math.min(...values));
    const value = tried[best]?.value;
    if (value != null)
      return chosen(answers[best] as TrivialAnswer, {
        chosenOn: set,
        tried,
        validation: set === "validation" ? value : null,
      });
  }
  return chosen(first, { chosenOn: null, tried, validation: null });
}
