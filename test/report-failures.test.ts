import { readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import { missingWork } from "../dist/report/missing-work.js";
import { summarise } from "../dist/report/report-summary.js";
import { modelAnswers } from "../dist/report/sentences.js";
import type { CellSummary } from "../dist/results/study.js";
import { type FixtureOptions, studyResults, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

let folder: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ folder, remove } = await temporaryFolder());
});
afterEach(() => remove());

const models = ["one", "two"];
const linesOf = (options: FixtureOptions, change: (cell: CellSummary, index: number) => void = () => {}) => {
  const results = studyResults({ models, excluded: [], ...options });
  results.cells.forEach(change);
  return missingWork(results, summarise(results).counts).lines;
};
const sectionOf = async (options: FixtureOptions, id: string) => {
  await writeStudyFolder(folder, options);
  const page = await readFile(await writeReport(folder), "utf8");
  return new RegExp(`<section id="${id}".*?</section>`, "s").exec(page)?.[0] ?? "";
};

describe("a reason for which many cells failed", () => {
  it("stands once, with the task where all of its cells failed", () => {
    const status: FixtureOptions["status"] = ({ task }) =>
      task === "lesion-segmentation" ? "failed" : "done";
    expect(linesOf({ status, failure: "No case has a lesion mask." })).toEqual([
      "Failed: 9 cells (every cell of lesion segmentation). No case has a lesion mask.",
    ]);
  });

  it("stands once, with the model where all of its cells failed", () => {
    const status: FixtureOptions["status"] = ({ model }) => (model === "two" ? "failed" : "done");
    expect(linesOf({ status, failure: "The network answers NaN." })).toEqual([
      "Failed: 8 cells (every cell of two). The network answers NaN.",
    ]);
  });

  it("stands once where nothing succeeded", () => {
    expect(linesOf({ status: () => "failed", failure: "No memory." })).toEqual([
      "Failed: 18 cells (every cell of the study). No memory.",
    ]);
  });

  it("stands once where it differs in numbers alone, and apart where it is another", () => {
    const lines = linesOf({ status: () => "failed" }, (cell, index) => {
      cell.reason = index === 0 ? "The disk is full." : `The loss became NaN in epoch ${index}.`;
    });
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^Failed: lesion segmentation, one, fine-tuned, seed 7\. The disk is full\.$/);
    expect(lines[1]).toMatch(
      /^Failed: 17 cells \(every cell of super-resolution; .*\)\. The loss became NaN in epoch 1\.$/,
    );
  });
});

describe("a task whose cells all failed", () => {
  const options: FixtureOptions = {
    failure: "No case has a lesion mask.",
    status: ({ task }) => (task === "lesion-segmentation" ? "failed" : "done"),
  };

  it("is not said to be still to come, in its section", async () => {
    const section = await sectionOf(options, "task-lesion-segmentation");
    expect(section).toContain("Every cell of this task failed:");
    expect(section.match(/No case has a lesion mask\./g)).toHaveLength(1);
    expect(section).not.toContain("pictures"); // the failures say enough
    expect(section).not.toMatch(/yet|not done/);
  });

  it("is not said to be still to come where no task has anything", async () => {
    const page = await sectionOf({ ...options, status: () => "failed" }, "cost");
    expect(page).toContain("Every cell failed.");
    const [one] = modelAnswers(summarise(studyResults({ status: () => "failed" })));
    expect(one?.answer).toBe(
      "Whether profound-tiny helps over training from scratch cannot be said: on every task, cells that it takes failed.",
    );
  });
});

describe("the best of a row", () => {
  const bestOf = (means: number[]) => {
    const order = ["fine-tuned", "pretrained", "random-weights", "from-scratch", "specialised"];
    const results = studyResults({
      tasks: ["super-resolution"],
      testCases: 1,
      mean: (_, comparator) => means[order.indexOf(comparator)] as number,
    });
    for (const { result, comparator } of results.cells)
      if (result) result.metric.mean = means[order.indexOf(comparator)] as number;
    return summarise(results).rows[0]?.best;
  };

  it("is marked where one is better than another", () => {
    expect(bestOf([0.5, 0.1, 0.1, 0.62, 0.4])).toBe(0.62);
  });

  it("is not marked where all are zero, alike to the digits shown, or next to nothing", () => {
    expect(bestOf([0, 0, 0, 0, 0])).toBeNull();
    expect(bestOf([0.5001, 0.5, 0.5002, 0.5, 0.5])).toBeNull();
    expect(bestOf([0.004, 0, 0, 0.002, 0])).toBeNull();
  });
});
