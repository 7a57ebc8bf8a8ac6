import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { duration, number, printable, table } from "../dist/cli/format.js";
import { createProgressView } from "../dist/cli/progress-view.js";
import { studySummary } from "../dist/cli/study-summary.js";
import type { CellLabel, StudyEvent } from "../dist/common/progress.js";
import type { CellSummary, StudyResults } from "../dist/results/study.js";

const cell: CellLabel = {
  id: "a",
  kind: "cell",
  task: "super-resolution",
  strategy: "direct",
  model: "profound",
  comparator: "fine-tuned",
  seed: 1,
};

const events: StudyEvent[] = [
  { kind: "case", done: 1, total: 2, case: "one", excluded: null, cohort: "/data/promis/manifest.csv" },
  {
    kind: "case",
    done: 2,
    total: 2,
    case: "two\u001b[31m",
    excluded: "t2w.nii is empty",
    cohort: "/data/promis/manifest.csv",
  },
  { kind: "plan", cells: [cell, { ...cell, id: "b", comparator: "from-scratch" }], alreadyDone: 1 },
  { kind: "cell-started", cell, epochs: 3, startEpoch: 1 },
  {
    kind: "epoch",
    cell,
    epoch: 2,
    epochs: 3,
    loss: 0.53219,
    metric: { name: "SSIM", value: 0.81 },
    secondsLeft: 61,
  },
  { kind: "epoch", cell, epoch: 3, epochs: 3, loss: 0.00012, metric: null, secondsLeft: 0 },
  { kind: "cell-done", cell, metric: { name: "SSIM", value: 0.82 }, seconds: 130, nativeSeconds: 120 },
  { kind: "cell-failed", cell: { ...cell, comparator: "from-scratch" }, reason: "the loss became NaN" },
  { kind: "study", done: 1, failed: 1, total: 2, secondsLeft: null },
];

function shown(options: { interactive: boolean; colour?: boolean }, some = events): string {
  const stream = new PassThrough();
  const view = createProgressView(stream, options);
  for (const event of some) view.show(event);
  view.close();
  return (stream.read() as Buffer).toString();
}

describe("progress without a terminal", () => {
  it("is one plain line an epoch", () => {
    expect(shown({ interactive: false })).toBe(
      [
        "case two\\x1b[31m is left out: t2w.nii is empty",
        "2 cases of promis/manifest.csv looked at",
        "2 cells, of which 1 are done already",
        "super-resolution · profound · fine-tuned: started, goes on at epoch 2 of 3",
        "super-resolution · profound · fine-tuned: epoch 2 of 3, loss 0.532, SSIM 0.810, 1 min 01 s left",
        "super-resolution · profound · fine-tuned: epoch 3 of 3, loss 1.20e-4, 0 s left",
        "super-resolution · profound · fine-tuned: done in 2 min 10 s, SSIM 0.820",
        "super-resolution · profound · from-scratch: FAILED: the loss became NaN",
        "1 of 2 cells done, 1 failed",
        "",
      ].join("\n"),
    );
  });

  it("says of a cell that stopped after its last epoch that it is trained", () => {
    const started: StudyEvent = { kind: "cell-started", cell, epochs: 3, startEpoch: 3 };
    expect(shown({ interactive: false }, [started])).toBe(
      "super-resolution · profound · fine-tuned: started, trained already\n",
    );
  });

  it("names the seed where the plan has several", () => {
    const plan: StudyEvent = { kind: "plan", cells: [cell, { ...cell, seed: 2 }], alreadyDone: 0 };
    const started: StudyEvent = { kind: "cell-started", cell, epochs: 1, startEpoch: 0 };
    expect(shown({ interactive: false }, [plan, started])).toContain(
      "profound · fine-tuned · seed 1: started",
    );
  });
});

describe("progress on a terminal", () => {
  const sequence = "\u001b[";

  it("keeps one line a finished cell, and a live line a running one", () => {
    const running = shown({ interactive: true, colour: false }, events.slice(0, 5));
    expect(running).toContain("▸ super-resolution · profound · fine-tuned");
    const all = shown({ interactive: true, colour: false });
    expect(all).toContain("✔ super-resolution · profound · fine-tuned, SSIM 0.820, 2 min 10 s");
    expect(all).toContain("✘ super-resolution · profound · from-scratch: the loss became NaN");
    expect(all).toContain("! case two\\x1b[31m is left out");
  });

  it("uses no colour where none is wanted, and colour where it is", () => {
    expect(shown({ interactive: true, colour: false })).not.toContain(`${sequence}32m`);
    expect(shown({ interactive: true, colour: true })).toContain(`${sequence}32m✔`);
  });

  it("respects NO_COLOR", () => {
    const before = process.env.NO_COLOR;
    process.env.NO_COLOR = "1";
    try {
      expect(shown({ interactive: true })).not.toContain(`${sequence}32m`);
    } finally {
      if (before === undefined) delete process.env.NO_COLOR;
      else process.env.NO_COLOR = before;
    }
  });
});

describe("the name of a cell", () => {
  it("has the strategy where it is not the task's own", () => {
    const text = shown({ interactive: false }, [
      { kind: "cell-started", cell: { ...cell, strategy: "diffusion" }, epochs: 3, startEpoch: 0 },
      {
        kind: "cell-started",
        cell: { ...cell, task: "modality-translation", strategy: "diffusion" },
        epochs: 3,
        startEpoch: 0,
      },
    ]);
    expect(text).toContain("super-resolution by diffusion · profound · fine-tuned: started");
    expect(text).toContain("modality-translation · profound · fine-tuned: started");
  });
});

describe("the summary of a study", () => {
  const row = (
    comparator: CellSummary["comparator"],
    mean: number | null,
    model = "profound",
  ): CellSummary => ({
    id: `${model}--${comparator}`,
    task: "super-resolution",
    strategy: "direct",
    model,
    comparator,
    seed: 1,
    ...(mean === null
      ? { status: "failed", reason: "out of memory" }
      : {
          status: "done",
          result: {
            ...{ task: "super-resolution", strategy: "direct", model, comparator, seed: 1 },
            metric: { name: "SSIM", mean, standardDeviation: 0.05, cases: [], secondary: {} },
            ...{ curve: [], cost: { epochSeconds: [] } },
          } as CellSummary["result"] & object,
        }),
  });
  const results: StudyResults = {
    format: "transfer-limits/results@1",
    name: "s",
    complete: false,
    cohort: {
      manifest: "m.csv",
      cases: 3,
      patients: 3,
      split: { train: 1, validation: 0, test: 1 },
      excluded: [{ case: "x", file: "x.nii", reason: "it is truncated" }],
    },
    cells: [
      row("fine-tuned", 0.9),
      row("random-weights", 0.6),
      row("from-scratch", null),
      row("specialised", 0.8, "unet-3d"),
    ],
    gains: [
      {
        task: "super-resolution",
        strategy: "direct",
        model: "profound",
        seed: 1,
        reference: "random-weights",
        fineTuned: 0.9,
        referenceValue: 0.6,
        percent: 50,
      },
    ],
    distances: [],
    pretraining: [],
    software: { package: "0", libtorch: "0", node: "0", device: "cpu", threads: 1, precision: "float32" },
  };

  it("has a row a task and model, the specialised model in it, exclusions, failures and the report's path", () => {
    const text = studySummary(results, "/r/report.html");
    expect(text).toMatch(
      /super-resolution +profound +1 +SSIM +0\.900 ± 0\.050 +– +0\.600 ± 0\.050 +– failed +0\.800 ± 0\.050/,
    );
    expect(text).toContain("1 case left out:\n  x: it is truncated");
    expect(text).toContain("1 cell failed:\n  profound--from-scratch: out of memory");
    expect(text).toMatch(/Report: \/r\/report\.html$/);
  });

  it("ends with the conclusion on each model in words, before the report's path", () => {
    const done = { ...results, cells: [...results.cells.slice(0, 2), row("from-scratch", 0.7)] };
    const [conclusion, path] = studySummary(done, "/r/report.html").split("\n\n").slice(-2);
    expect(conclusion).toMatch(
      /^Whether profound helps over training from scratch is undecided on the one task: with one seed/,
    );
    expect(path).toBe("Report: /r/report.html");
  });

  it("says that a metric is undefined, and why", () => {
    const [fineTuned, ...others] = results.cells as [CellSummary, ...CellSummary[]];
    const text = studySummary(
      {
        ...results,
        cells: [
          {
            ...fineTuned,
            result: {
              ...(fineTuned.result as NonNullable<CellSummary["result"]>),
              metric: {
                name: "SSIM",
                mean: null,
                reason: "it has no negative case",
                standardDeviation: null,
                cases: [],
                secondary: {},
              },
            },
          },
          ...others,
        ],
        gains: results.gains.map((gain) => ({
          ...gain,
          fineTuned: null,
          percent: null,
          reason: "SSIM is undefined",
        })),
      },
      null,
    );
    expect(text).toMatch(/super-resolution +profound +1 +SSIM +– undefined +–/);
    expect(text).toContain("super-resolution: SSIM is undefined on the test set: it has no negative case");
  });
});

describe("words", () => {
  it.each([
    [0.4, "0 s"],
    [59.4, "59 s"],
    [60, "1 min 00 s"],
    [3725, "1 h 02 min"],
  ])("gives %d seconds as %s", (seconds, text) => expect(duration(seconds)).toBe(text));

  it.each([
    [0, "0.000"],
    [0.81234, "0.812"],
    [12.3456, "12.35"],
    [-345.67, "-345.7"],
    [0.00012, "1.20e-4"],
    [Number.NaN, "not a number"],
  ])("gives the number %d as %s", (value, text) => expect(number(value)).toBe(text));

  it("lines numbers up to the right and words to the left", () => {
    expect(
      table(
        ["name", "n"],
        [
          ["a", "1"],
          ["long", "10"],
        ],
      ),
    ).toBe("name   n\na      1\nlong  10");
  });

  it("shows control characters as escapes, and keeps line breaks", () => {
    expect(printable("a\u001b]0;x\u0007\nb\r")).toBe("a\\x1b]0;x\\x07\nb\\x0d");
  });
});
