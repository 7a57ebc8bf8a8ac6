import type { Command } from "commander";
import type { ForecastCheck } from "../../statistics/forecast-check.js";
import type { Forecast, ForecastModel, PredictorName } from "../../study/run/forecast.js";
import { answer } from "../answer.js";
import { devicesOption } from "../devices-option.js";
import { examples } from "../examples.js";
import { count, number, printable, table } from "../format.js";
import { abortOnInterrupt } from "../interrupt.js";
import { createProgressView } from "../progress-view.js";

interface Options {
  devices?: string[];
  json?: boolean;
}

/** `forecast STUDY`: which encoder will be best for which task, before any is trained. */
export function addForecast(program: Command): void {
  program
    .command("forecast")
    .description(
      "rank a study's encoders for each task without training any, and say how good such forecasts were",
    )
    .argument("<study>", "the study file (YAML)")
    .addOption(devicesOption())
    .option("--json", "write one JSON document to stdout")
    .addHelpText("after", examples("forecast study.yaml"))
    .action((path: string, { devices, ...options }: Options) =>
      answer(options, async () => {
        const { loadChecked } = await import("../../study/plan/load-study.js");
        const { forecastChecked } = await import("../../study/run/forecast.js");
        const study = await loadChecked(path);
        const { signal, dispose } = abortOnInterrupt();
        const view = createProgressView(process.stderr);
        try {
          const value = await forecastChecked(study, {
            signal,
            devices,
            onProgress: view.show,
            onModel: (task, model) => process.stderr.write(`Showing ${task} to ${printable(model)}\n`),
          });
          return { value, text: inWords(value) };
        } finally {
          view.close();
          dispose();
        }
      }),
    );
}

const headings = ["LogME", "H-score", "SFDA", "kNN", "linear probe"] as const;
const words: Record<PredictorName, string> = {
  logMe: "LogME",
  hScore: "H-score",
  sfda: "SFDA",
  nearestNeighbours: "kNN",
  linearProbe: "linear probe",
  early: "first 5 %",
};

const known = (value: number | null | undefined): string => (value == null ? "–" : number(value));

function inWords(forecast: Forecast): string {
  if (forecast.tasks.length === 0) return "The study has no task: there is nothing to forecast.";
  return [
    ...forecast.tasks.map((task) =>
      [
        `${task.task}: ${count(task.cases, "training case")}, ${task.rows} ${task.of} scored (greater is better; in brackets with random weights)`,
        table(
          ["model", "mean rank", ...headings, "first 5 %", "gain"],
          task.models.map((model) => [
            printable(model.model),
            known(model.meanRank),
            ...scores(model),
            early(model),
            known(model.gain),
          ]),
        ),
        ...task.models.flatMap(({ model, reason }) =>
          reason === undefined ? [] : [`  ${printable(model)} has no forecast: ${printable(reason)}`],
        ),
      ].join("\n"),
    ),
    checkLines(forecast.checked),
  ].join("\n\n");
}

const scores = ({ scores: own, random }: ForecastModel): string[] =>
  (["logMe", "hScore", "sfda", "nearestNeighbours", "linearProbe"] as const).map((name) =>
    own?.[name] == null && random?.[name] == null ? "–" : `${known(own?.[name])} (${known(random?.[name])})`,
  );

const early = ({ early: found }: ForecastModel): string =>
  found === null ? "–" : `${number(found.fineTuned)} (${known(found.fromScratch)} from scratch)`;

/** How good such forecasts were, where trainings are finished. */
export function checkLines(checked: Readonly<Record<string, ForecastCheck | null>>): string {
  const rows = Object.entries(checked).flatMap(([name, check]) => (check ? [{ name, check }] : []));
  if (rows.length === 0)
    return (
      "How good these forecasts are is not known: that takes finished trainings of at least two models on two tasks, " +
      "fine-tuned and from scratch. Take a rank as a guess, and none for a gain."
    );
  const better = rows.filter(({ check }) => check.better);
  const names = better.map(({ name }) => words[name as PredictorName]);
  return [
    "How far off the gain over training from scratch each was, in margins, the task and the model left out",
    table(
      ["forecast by", "points", "error", "error of the mean gain", "p", "is it better?"],
      rows.map(({ name, check }) => [
        words[name as PredictorName],
        String(check.points),
        number(check.error),
        number(check.meanGainError),
        number(check.p),
        check.better ? "yes" : check.error < check.meanGainError ? "not beyond chance" : "no",
      ]),
    ),
    better.length === 0
      ? "None does better than the mean gain: expect of each encoder what the others gained on average."
      : `Better than the mean gain: ${names.join(", ")}.`,
  ].join("\n");
}
