import type { StudyResults } from "../results/study.js";
import type { CheckedStudy } from "../study/plan/checked-study.js";
import type { Meeting } from "../study/run/meeting.js";
import type { RunOptions } from "../study/run/run.js";
import type { Answer } from "./answer.js";
import { abortOnInterrupt } from "./interrupt.js";
import { pretrainedEncoders, pretrainingSummary } from "./pretraining-summary.js";
import { createProgressView } from "./progress-view.js";
import { studySummary } from "./study-summary.js";

/** Runs a study with progress on stderr, stopping cleanly at Ctrl-C, and writes its report. */
export async function runWithProgress(
  checked: CheckedStudy,
  options: Pick<RunOptions, "only" | "jobs" | "devices"> = {},
  meeting?: Meeting,
): Promise<Answer> {
  const { runChecked } = await import("../study/run/run.js");
  const { writeReport } = await import("../report/index.js");
  const { signal, dispose } = abortOnInterrupt();
  const view = createProgressView(process.stderr);
  let results: StudyResults;
  try {
    results = await runChecked(checked, { ...options, signal, onProgress: view.show }, meeting);
  } finally {
    view.close();
    dispose();
  }
  const folder = checked.study.execution.output;
  const parts = results.learningCurves?.cells ?? [];
  const failed = [...results.cells, ...parts, ...results.pretraining].some(
    ({ status }) => status === "failed",
  );
  if (options.only === "pretraining") {
    const encoders = pretrainedEncoders(results, folder);
    const value = { output: folder, report: null, encoders, results };
    return { value, text: pretrainingSummary(results, folder), failed };
  }
  const report = await writeReport(folder);
  return { value: { output: folder, report, results }, text: studySummary(results, report), failed };
}
