import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeReport } from "../dist/report/index.js";
import { missingWork } from "../dist/report/missing-work.js";
import { summarise } from "../dist/report/report-summary.js";
import { caveats, modelAnswers } from "../dist/report/sentences.js";
import type { StudyResults } from "../dist/results/study.js";
import { studyResultsSchema } from "../dist/results/study.js";
import { type FixtureOptions, studyResults, temporaryFolder, writeStudyFolder } from "./report-fixture.js";

let folder: string;
let remove: () => Promise<void>;
beforeEach(async () => {
  ({ folder, remove } = await temporaryFolder());
});
afterEach(() => remove());

const answers = (options: FixtureOptions) => modelAnswers(summarise(studyResults(options)));
const page = async (options: FixtureOptions = {}) => {
  await writeStudyFolder(folder, options);
  return readFile(await writeReport(folder), "utf8");
};
/** The page as a reader has it: without tags, entities resolved. */
const textOf = (html: string) =>
  html
    .replace(/<(style|script)>.*?<\/\1>/gs, "")
    .replace(/<[^>]*>/g, "")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&")
    .replaceAll("\u00a0", " ");

describe("the sentence about a foundation model", () => {
  const better = (tasks: string[]) => (task: string, comparator: string) =>
    comparator === "from-scratch"
      ? tasks.includes(task)
        ? 0.4
        : 0.6
      : comparator === "fine-tuned"
        ? 0.5
        : 0.45;

  const seeds = [1, 2, 3, 4, 5];

  it("says on how many tasks it is better, and over what", () => {
    const [one] = answers({ seeds, mean: better(["lesion-segmentation", "super-resolution"]) });
    expect(one.answer).toBe(
      "Over training from scratch, profound-tiny is better on 2 of 2 tasks (lesion segmentation and super-resolution).",
    );
    expect(one.more).toBe(
      "Over the specialised model, better on 2 of 2 tasks (lesion segmentation and super-resolution).",
    );
  });

  it("says as loudly where it is worse", () => {
    const [one] = answers({ seeds, mean: better(["lesion-segmentation"]) });
    expect(one.answer).toMatch(
      /^Over training from scratch, profound-tiny is better on 1 of 2 tasks \(lesion segmentation\) and worse on 1 \(super-resolution\)\.$/,
    );
    const behind = answers({ seeds, mean: (_, comparator) => (comparator === "specialised" ? 0.7 : 0.5) })[0];
    expect(behind.more).toBe(
      "Over the specialised model, better on none of 2 tasks and worse on 2 (lesion segmentation and super-resolution).",
    );
    expect(answers({ seeds, mean: better([]) })[0].answer).toMatch(
      /^Over training from scratch, profound-tiny is better on none of 2 tasks and worse on 2 \(/,
    );
  });

  it("settles nothing with one seed, and says why", () => {
    const [one] = answers({ mean: better(["lesion-segmentation"]) });
    expect(one.answer).toBe(
      "Whether profound-tiny helps over training from scratch is undecided on all 2 tasks: with one seed nobody knows " +
        "how much a result moves from one training to the next.",
    );
    expect(one.more).toBe(
      "Its mean is better than that of training from scratch on 1 of 2 tasks and the specialised model on 2 of 2.",
    );
  });

  it("says where two are practically equal", () => {
    const [one] = answers({ seeds, testCases: 60, mean: () => 0.5 });
    expect(one.answer).toMatch(/practically equal on [12][ .]/);
  });

  it("names the tasks that could not be compared because a cell failed", () => {
    const [one] = answers({
      seeds,
      status: ({ task, comparator }) =>
        task === "super-resolution" && comparator === "from-scratch" ? "failed" : "done",
    });
    expect(one.answer).toMatch(/^Over training from scratch, profound-tiny is better on 1 of 1 task \(/);
    expect(one.more).toMatch(/Super-resolution could not be compared\.$/);
  });

  it("claims nothing where no task has both results", () => {
    const [one] = answers({ status: ({ comparator }) => (comparator === "fine-tuned" ? "done" : "pending") });
    expect(one.answer).toBe(
      "Whether profound-tiny helps over training from scratch cannot be said yet: no task has both results.",
    );
    expect(one.more).toBe("");
  });

  it("leaves a difference undecided where its interval holds zero", () => {
    const [one] = answers({
      seeds,
      tasks: ["lesion-segmentation"],
      testCases: 3,
      mean: (_, comparator) => (comparator === "fine-tuned" ? 0.53 : 0.5),
    });
    expect(one.answer).toBe(
      "Over training from scratch, profound-tiny is better on none of 1 task and undecided on 1.",
    );
  });

  it("counts a task once, and says in a sentence of its own what diffusion gives", () => {
    const [one] = answers({
      seeds,
      strategies: (task) => (task === "super-resolution" ? ["direct", "diffusion"] : ["direct"]),
    });
    expect(one.answer).toMatch(/^Over training from scratch, profound-tiny is better on 2 of 2 tasks/);
    expect(one.more).toMatch(
      / Fine-tuned by diffusion instead, over training from scratch, better on 1 of 1 task \(super-resolution by diffusion\)\.$/,
    );
  });

  it("is written once a foundation model", () => {
    const all = answers({ models: ["profound-tiny", "provicnet-small"], seeds: [1, 2] });
    expect(all.map((one) => one.model)).toEqual(["profound-tiny", "provicnet-small"]);
    expect(all[1].more).toMatch(/^Over the specialised model, better on (none|1|2) of 2 tasks/); // it is shared
  });
});

/** The results, as if the test set left the metric of lesion segmentation undefined. */
function withoutNegatives(results: StudyResults): StudyResults {
  const reason = "it has no negative case";
  return {
    ...results,
    cells: results.cells.map((cell) =>
      cell.task === "lesion-segmentation" && cell.result
        ? {
            ...cell,
            result: {
              ...cell.result,
              metric: { ...cell.result.metric, mean: null, reason, standardDeviation: null },
            },
          }
        : cell,
    ),
    gains: results.gains.map((gain) =>
      gain.task === "lesion-segmentation"
        ? { ...gain, fineTuned: null, referenceValue: null, percent: null, reason }
        : gain,
    ),
  };
}

describe("what could not be concluded", () => {
  const list = (options: FixtureOptions) => {
    const results = studyResults(options);
    return caveats(summarise(results));
  };

  it("names one seed, few cases, too few tasks for a correlation, and saturated distances", () => {
    const text = list({ testCases: 3, saturated: true }).join("\n");
    expect(text).toMatch(/^One seed:/m);
    expect(text).toMatch(/^3 test cases:/m);
    expect(text).toMatch(/^profound-tiny has distances on 2 tasks: .* needs at least 3/m);
    expect(text).toMatch(/^All distances are saturated/m);
  });

  it("does not name what is not the case", () => {
    const text = list({ testCases: 40, seeds: [1, 2, 3] }).join("\n");
    expect(text).not.toMatch(/One seed|test cases:|saturated/);
  });

  it("names a task that a model has learnt with no comparator, and no other", () => {
    const learnt = list({ mean: () => 0.5 }).join("\n");
    expect(learnt).not.toMatch(/not learnt/);
    const text = list({
      mean: (task, comparator) => (task === "super-resolution" && comparator !== "specialised" ? 0.004 : 0.5),
    });
    expect(text.filter((line) => line.includes("not learnt"))).toEqual([
      "Super-resolution: profound-tiny stays below 0.05 SSIM with every comparator. It has not learnt the task, and its " +
        "gains compare next to nothing with next to nothing.",
    ]);
  });

  it("does not call one model better than another where neither has learnt anything", () => {
    const summary = summarise(studyResults({ mean: (task) => (task === "super-resolution" ? 0.004 : 0.5) }));
    const [one] = modelAnswers(summary);
    expect(one?.more).toMatch(/Super-resolution was learnt by neither\.$/);
  });

  it("counts gains that have no percentage because the reference is 0", () => {
    expect(list({ mean: (_, comparator) => (comparator === "pretrained" ? 0 : 0.5) })).toContain(
      "2 gains over a reference of 0 cannot be given in percent.",
    );
  });

  it("names an undefined metric with its reason, and does not take its gains for those over a reference of 0", () => {
    const results = withoutNegatives(studyResults());
    const text = caveats(summarise(results));
    expect(text).toContain(
      "Dice of lesion segmentation is undefined on the test set of 12 cases: it has no negative case. " +
        "Gains over it are undefined, too.",
    );
    expect(text.join("\n")).not.toMatch(/reference of 0/);
    const [one] = modelAnswers(summarise(results));
    expect(`${one.answer} ${one.more}`).toMatch(
      /undecided on the one task: .*Lesion segmentation could not be compared\.$/,
    );
  });

  it("lists failed cells with their reason, pending ones and left-out cases", () => {
    const results = studyResults({
      failure: "CUDA ran out of memory\nat step 12",
      status: ({ comparator }) =>
        comparator === "specialised" ? "pending" : comparator === "pretrained" ? "failed" : "done",
    });
    const { headline, lines } = missingWork(results, summarise(results).counts);
    expect(headline).toBe("This study is not finished: 6 of 10 cells done, 2 failed, 2 still to come.");
    expect(lines).toContain(
      "Failed: 2 cells (profound-tiny, pretrained: lesion segmentation and super-resolution). " +
        "CUDA ran out of memory",
    );
    expect(lines).toContain("Still to come: 2 cells (every cell of unet-3d).");
    expect(lines.at(-1)).toMatch(/^Left out: case p-019 \(p-019\/adc\.nii\.gz\)\. The file ends/);
  });
});

describe("a report", () => {
  it("reads every results file that the types allow", () => {
    const results = studyResults({ seeds: [1, 2], status: ({ seed }) => (seed === 1 ? "done" : "failed") });
    expect(studyResultsSchema.parse(JSON.parse(JSON.stringify(results)))).toEqual(results);
  });

  it("shows the numbers of results.json in its main table and its CSV", async () => {
    const html = await page();
    const results = studyResults();
    const [row] = parse(await readFile(join(folder, "tables/results.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    const cell = results.cells.find(
      (one) => one.comparator === "fine-tuned" && one.task === "lesion-segmentation",
    );
    const gain = results.gains.find(
      (one) => one.reference === "from-scratch" && one.task === "lesion-segmentation",
    );
    expect(Number(row["fine-tuned mean"])).toBe(cell?.result?.metric.mean);
    expect(Number(row["fine-tuned SD over cases"])).toBeCloseTo(
      cell?.result?.metric.standardDeviation ?? 0,
      12,
    );
    expect(Number(row["RPG over from-scratch (%)"])).toBeCloseTo(gain?.percent as number, 10);
    expect(html).toContain(`<strong>${cell?.result?.metric.mean?.toFixed(3)}</strong>`);
  });

  it("shows an undefined metric as a word with its reason, in no figure, and as nothing in its CSV", async () => {
    const results = withoutNegatives(await writeStudyFolder(folder));
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    const html = await readFile(await writeReport(folder), "utf8");
    expect(html).toContain('title="undefined on the test set: it has no negative case"');
    expect(textOf(html)).toContain("Dice of lesion segmentation is undefined on the test set of 12 cases");
    const [row] = parse(await readFile(join(folder, "tables/results.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    expect(row.task).toBe("lesion-segmentation");
    expect([row["fine-tuned mean"], row["RPG over from-scratch (%)"], row["fine-tuned cases"]]).toEqual([
      "",
      "",
      "12",
    ]);
    for (const figure of ["gain", "figure-1b"]) {
      const csv = await readFile(join(folder, "figures", `${figure}.csv`), "utf8");
      expect(csv).toContain("super-resolution");
      expect(csv).not.toContain("lesion-segmentation");
    }
  });

  it("names the cohorts of single tasks on its first screen and in its provenance", async () => {
    const results = await writeStudyFolder(folder);
    const other = { manifest: "few/manifest.csv", cases: 30, patients: 29 };
    const split = { train: 20, validation: 4, test: 5 };
    results.cohort.tasks = [{ task: "super-resolution", ...other, split }];
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    const splits = JSON.parse(await readFile(join(folder, "splits.json"), "utf8"));
    splits.others = [
      {
        manifest: other.manifest,
        tasks: ["super-resolution"],
        train: [],
        validation: [],
        test: [],
        unused: ["u"],
      },
    ];
    await writeFile(join(folder, "splits.json"), JSON.stringify(splits));
    const text = textOf(await readFile(await writeReport(folder), "utf8"));
    expect(text).toMatch(/Cohort, lesion segmentation\s*cohort\/manifest\.csv/);
    expect(text).toMatch(/Cohort, super-resolution\s*few\/manifest\.csv/);
    expect(text).toMatch(/29 \(30 cases\)\s*Train \/ validation \/ test\s*20 \/ 4 \/ 5/);
    expect(text).toContain("5 test cases of super-resolution: means are rough");
    expect(text).toMatch(
      /Cohort of super-resolution: few\/manifest\.csv\. 20 cases to train, 4 to validate,\s*5 to test, 1 case unused\./,
    );
    expect(text).toMatch(/Cohort of lesion segmentation: cohort\/manifest\.csv\. 18 cases to train/);
    // What can be saved holds the other cohort's division, too.
    const saved = (await readFile(join(folder, "report.html"), "utf8")).match(
      /download="splits.json" href="data:[^,]*,([^"]*)"/,
    )?.[1] as string;
    const decoded = /^[\w+/=]+$/.test(saved)
      ? Buffer.from(saved, "base64").toString()
      : decodeURIComponent(saved);
    expect(JSON.parse(decoded).others[0].manifest).toBe(other.manifest);
  });

  it("says in its provenance how training cases were augmented, and which trainings had it", async () => {
    expect(textOf(await page())).not.toContain("Augmentation");
    const results = studyResults();
    const augmentation = {
      flip: ["left-right" as const],
      flipProbability: 0.5,
      shift: { "inferior-superior": 0, "anterior-posterior": 2, "left-right": 4 },
      intensity: { scale: 0, offset: 0 },
    };
    for (const { task, result } of results.cells)
      if (result && task === "lesion-segmentation" && result.curve.length > 0)
        result.augmentation = augmentation;
    expect(studyResultsSchema.safeParse(JSON.parse(JSON.stringify(results))).success).toBe(true);
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    const text = textOf(await readFile(await writeReport(folder), "utf8"));
    expect(text).toContain(
      "flipped left-right with probability 0.5; shifted by up to 2 voxels anterior-posterior, 4 voxels left-right: " +
        "lesion segmentation (profound-tiny) and lesion segmentation (unet-3d).",
    );
  });

  it("has rows, sections and figures of its own for a second strategy", async () => {
    const html = await page({
      strategies: (task) => (task === "super-resolution" ? ["direct", "diffusion"] : ["direct"]),
      models: ["profound-tiny", "provicnet-small"],
    });
    const results = studyResults({
      strategies: (task) => (task === "super-resolution" ? ["direct", "diffusion"] : ["direct"]),
      models: ["profound-tiny", "provicnet-small"],
    });
    expect(studyResultsSchema.parse(JSON.parse(JSON.stringify(results)))).toEqual(results);
    const rows = async (name: string) =>
      parse(await readFile(join(folder, name), "utf8"), { columns: true }) as Record<string, string>[];
    const mean = (strategy: string, comparator: string) =>
      results.cells.find(
        (one) =>
          one.task === "super-resolution" &&
          one.strategy === strategy &&
          one.model !== "provicnet-small" &&
          one.comparator === comparator,
      )?.result?.metric.mean;
    const everything = await rows("tables/results.csv");
    expect(everything.map(({ task, strategy, model }) => `${task} ${strategy} ${model}`)).toEqual(
      ["profound-tiny", "provicnet-small"].flatMap((model) => [
        `lesion-segmentation direct ${model}`,
        `super-resolution direct ${model}`,
        `super-resolution diffusion ${model}`,
      ]),
    );
    expect(Number(everything[2]["fine-tuned mean"])).toBe(mean("diffusion", "fine-tuned"));
    expect(Number(everything[2]["specialised mean"])).toBe(mean("direct", "specialised"));
    expect(everything[2]["fine-tuned mean"]).not.toBe(everything[1]["fine-tuned mean"]);
    const ids = [...html.matchAll(/<section id="(task-[^"]+)"/g)].map((match) => match[1]);
    expect(ids).toEqual([
      "task-lesion-segmentation",
      "task-super-resolution",
      "task-super-resolution-diffusion",
    ]);
    for (const name of [
      "figures/cases-super-resolution-diffusion.csv",
      "tables/table-1.csv",
      "tables/distances.csv",
    ])
      expect((await rows(name)).some(({ strategy }) => strategy === "diffusion")).toBe(true);
    // The specialised model learns by regression: its losses have no place among those on noise.
    const curves = await rows("figures/curves-super-resolution-diffusion.csv");
    expect(new Set(curves.map(({ comparator }) => comparator))).toEqual(
      new Set(["fine-tuned", "from-scratch"]),
    );
    const stars = await rows("figures/figure-2-specialised.csv");
    expect(stars.filter(({ strategy }) => strategy === "diffusion")).toHaveLength(6);
    expect(textOf(html)).toContain("Super-resolution*");
  });

  it("averages seeds and tells their spread", async () => {
    const results = await writeStudyFolder(folder, { seeds: [1, 2, 3] });
    await writeReport(folder);
    const rows = parse(await readFile(join(folder, "tables/results.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    const means = results.cells
      .filter((one) => one.comparator === "from-scratch" && one.task === "super-resolution")
      .map((one) => one.result?.metric.mean ?? Number.NaN);
    const mean = means.reduce((a, b) => a + b) / 3;
    const deviation = Math.sqrt(means.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 2);
    expect(Number(rows[1]["from-scratch mean"])).toBeCloseTo(mean, 12);
    expect(Number(rows[1]["from-scratch SD over seeds"])).toBeCloseTo(deviation, 12);
    expect(rows[1]["from-scratch seeds"]).toBe("3");
  });

  it("has a CSV and an SVG for every figure, whose rows are the points drawn", async () => {
    const html = await page({ models: ["profound-tiny", "provicnet-small"], seeds: [1, 2], saturated: true });
    const figures = [...html.matchAll(/<figure class="figure[^"]*" id="([^"]+)"/g)].map((match) => match[1]);
    expect(figures).toEqual([
      "gain",
      "figure-1b",
      "figure-3-profound-tiny",
      "figure-3-provicnet-small",
      "figure-2-specialised",
      "figure-2-random-weights",
      "cases-lesion-segmentation",
      "curves-lesion-segmentation",
      "cases-super-resolution",
      "curves-super-resolution",
      "pretraining",
    ]);
    expect((await readdir(join(folder, "figures"))).sort()).toEqual(
      figures.flatMap((name) => [`${name}.csv`, `${name}-85mm.svg`, `${name}-170mm.svg`]).sort(),
    );
    for (const name of figures) {
      const rows = parse(await readFile(join(folder, `figures/${name}.csv`), "utf8"), { columns: true });
      expect(rows.length, name).toBeGreaterThan(0);
      for (const width of [85, 170]) {
        const svg = await readFile(join(folder, `figures/${name}-${width}mm.svg`), "utf8");
        expect(pointsDrawn(svg), name).toBe(rows.length);
        expect(svg).toMatch(
          new RegExp(`^<svg [^>]*width="${width}mm" height="[\\d.]+mm" viewBox="0 0 (?:320|652|768) `),
        );
        expect(new Set([...svg.matchAll(/font-family="([^"]*)"/g)].map((match) => match[1]))).toEqual(
          new Set(["Arial, Helvetica, 'Liberation Sans', sans-serif"]),
        );
        expect(html).toContain(`href="figures/${name}-${width}mm.svg"`);
      }
      expect(html).toContain(`download="${name}.csv" href="data:text/csv`);
    }
  });

  it("keeps curves whole when they are too long for a marker an epoch", async () => {
    await page({ epochs: 100 });
    const rows = parse(await readFile(join(folder, "figures/figure-3-profound-tiny.csv"), "utf8"), {
      columns: true,
    });
    const svg = await readFile(join(folder, "figures/figure-3-profound-tiny-85mm.svg"), "utf8");
    expect(rows.length).toBe(2 * 3 * 100 * 2);
    expect(pointsDrawn(svg)).toBe(rows.length);
  });

  it("offers each table as CSV, inside the page and beside it", async () => {
    const html = await page();
    for (const name of ["results", "comparison-super-resolution", "distances", "table-1", "cost"]) {
      const file = await readFile(join(folder, `tables/${name}.csv`), "utf8");
      const uri = new RegExp(`download="${name}\\.csv" href="data:text/csv;charset=utf-8,([^"]*)"`).exec(
        html,
      )?.[1];
      expect(decodeURIComponent((uri ?? "").replaceAll("&#39;", "'")), name).toBe(file);
    }
  });

  it("shows each case in its own physical shape where spacings differ", async () => {
    const spacings: [number, number][] = [
      [1, 1],
      [0.5, 1],
      [1, 0.25],
    ];
    const html = await page({ testCases: 3, spacings, tasks: ["super-resolution"] });
    for (const [index, [height, width]] of spacings.entries()) {
      const row = new RegExp(`p-${101 + index}, axial slice.*?</figure>`, "s").exec(html)?.[0] ?? "";
      expect(row).toContain(`${width} × ${height} mm a pixel`);
      const sizes = [...row.matchAll(/<img [^>]*width="(\d+)" height="(\d+)"/g)];
      expect(sizes.length).toBe(12);
      for (const size of sizes) expect(Number(size[1]) / Number(size[2])).toBeCloseTo(width / height, 1);
    }
  });

  it("is the same, byte for byte, when written again", async () => {
    const first = await page();
    expect(await readFile(await writeReport(folder), "utf8")).toBe(first);
  });

  it("stays below 10 MB for many cases, seeds, models and large slices", async () => {
    const html = await page({
      models: ["profound-tiny", "provicnet-small"],
      seeds: [1, 2, 3],
      testCases: 148,
      storedCases: 3,
      epochs: 100,
      size: [200, 200],
    });
    expect(html.length).toBeLessThan(10_000_000);
  });

  it("leaves no unfinished file behind", async () => {
    await page();
    const names = [...(await readdir(folder)), ...(await readdir(join(folder, "figures")))];
    expect(names.filter((name) => name.endsWith(".partial"))).toEqual([]);
  });
});

describe("text from outside", () => {
  const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>`;

  it("never becomes markup, wherever it stands", async () => {
    const html = await page({
      name: `study ${attack}`,
      models: [`model ${attack}`],
      caseIds: [`case ${attack}`, "p-2", "p-3"],
      failure: `failed ${attack}`,
      status: ({ comparator, task }) =>
        comparator === "specialised" && task === "super-resolution" ? "failed" : "done",
      excluded: [{ case: `left out ${attack}`, file: `file ${attack}`, reason: `reason ${attack}` }],
    });
    expect(html.match(/<script/g)).toHaveLength(1);
    expect(html).not.toMatch(/<img src=x/);
    for (const tag of html.match(/<[a-z][^>]*>/g) ?? []) expect(tag).not.toMatch(/\son[a-z]+\s*=\s*(?!.*")/i);
    const text = textOf(html);
    for (const word of ["study", "model", "case", "failed", "left out", "file", "reason"]) {
      expect(text, word).toContain(`${word} ${attack}`);
    }
    for (const name of await readdir(join(folder, "figures"))) {
      expect(name).toMatch(/^[a-z0-9-]+\.(svg|csv)$/);
      if (!name.endsWith(".svg")) continue;
      expect(await readFile(join(folder, "figures", name), "utf8")).not.toMatch(
        /<script|<img|onerror=alert\(1\)>/,
      );
    }
  });

  it("meets a policy that names the one script and the one style sheet, and nothing else", async () => {
    const html = await page();
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/
      .exec(html)?.[1]
      .replaceAll("&#39;", "'");
    expect(policy).toMatch(
      /^default-src 'none'; img-src data:; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'$/,
    );
    expect(html).not.toMatch(/<[a-z][^>]*\sstyle="/);
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
  });

  it("loses characters that cannot be seen but turn text around", async () => {
    const html = await page({ name: "safe\u202etxt.exe\u0000" });
    expect(html).not.toContain("\u202e");
    expect(html).not.toContain("\u0000");
    expect(html).toContain("<h1>safe\ufffdtxt.exe\ufffd</h1>");
  });

  it("cannot run as a formula in a spreadsheet", async () => {
    await page({ caseIds: ["=cmd|' /C calc'!A0", "-p2", "@p3", "+p4", 'quoted "p5", with comma'] });
    const rows = parse(await readFile(join(folder, "figures/cases-super-resolution.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    expect([...new Set(rows.map((row) => row.case))]).toEqual([
      "'=cmd|' /C calc'!A0",
      "'-p2",
      "'@p3",
      "'+p4",
      'quoted "p5", with comma',
    ]);
  });

  it("cannot lead out of the study's folder through the id of a cell", async () => {
    const results = await writeStudyFolder(folder);
    for (const cell of results.cells) {
      if (cell.comparator === "pretrained") cell.id = "../../../etc";
    }
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    const text = textOf(await readFile(await writeReport(folder), "utf8"));
    expect(text).toContain('No pictures of pretrained: The cell\'s id "../../../etc" is no name of a folder');
  });
});

describe("a study that is not whole", () => {
  it("is reported while it runs: what is there, and what is missing", async () => {
    const html = await page({
      status: ({ task, comparator }) =>
        task === "lesion-segmentation" && comparator !== "specialised" ? "done" : "pending",
    });
    const text = textOf(html);
    expect(text).toContain("This study is not finished: 4 of 10 cells done, 6 still to come.");
    expect(text).toContain("Super-resolution could not be compared.");
    expect(text).toContain("No cell of this task is done yet.");
    expect(html).toContain('<td class="number quiet" data-sort="">pending</td>');
  });

  it("is reported before its first cell is done", async () => {
    const text = textOf(await page({ status: () => "pending" }));
    expect(text).toContain("0 of 10 cells done, 10 still to come.");
    expect(text).toContain("cannot be said yet");
    expect(text).toContain("No cell is done yet.");
  });

  it("is reported where every cell failed, with the reason in the table", async () => {
    const html = await page({ status: () => "failed", failure: 'The file "weights.pth" is missing' });
    expect(textOf(html)).toContain("Not all of this study succeeded: 0 of 10 cells done, 10 failed.");
    expect(html).toContain('title="The file &quot;weights.pth&quot; is missing"');
  });

  it("says which of its files are missing", async () => {
    await writeStudyFolder(folder);
    await rm(join(folder, "splits.json"));
    await writeFile(join(folder, "study.resolved.json"), "{ not json");
    await rm(join(folder, "cells", "super-resolution-profound-tiny-from-scratch-7"), { recursive: true });
    const text = textOf(await readFile(await writeReport(folder), "utf8"));
    expect(text).toContain("splits.json is missing.");
    expect(text).toContain("study.resolved.json cannot be read:");
    expect(text).toMatch(
      /No pictures of from scratch: cells\/super-resolution-profound-tiny-from-scratch-7\/examples/,
    );
    expect(text).not.toContain(folder);
  });

  it("has no pictures where the fine-tuned cell's slices are broken, and says why", async () => {
    await writeStudyFolder(folder);
    const cell = join(folder, "cells", "lesion-segmentation-profound-tiny-fine-tuned-7");
    await mkdir(cell, { recursive: true });
    await writeFile(join(cell, "examples.safetensors"), "no tensors here");
    expect(textOf(await readFile(await writeReport(folder), "utf8"))).toMatch(
      /No pictures of fine-tuned: cells\/\S+ is not a sound safetensors file/,
    );
  });

  it("keeps a loss that was not finite out of its figures", async () => {
    const results = await writeStudyFolder(folder);
    const curve = results.cells[0].result?.curve ?? [];
    curve[3].trainingLoss = Number.NaN; // null in the file
    await writeFile(join(folder, "results.json"), JSON.stringify(results));
    await writeReport(folder);
    const rows = parse(await readFile(join(folder, "figures/figure-3-profound-tiny.csv"), "utf8"), {
      columns: true,
    }) as Record<string, string>[];
    expect(rows).toHaveLength(2 * 3 * 12 * 2 - 1);
  });

  it("refuses a folder without results, naming the file", async () => {
    await expect(writeReport(folder)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("results.json cannot be read"),
    });
  });

  it("refuses results of another shape, naming the field", async () => {
    const results = studyResults();
    await writeFile(join(folder, "results.json"), JSON.stringify({ ...results, cells: [{ id: 3 }] }));
    await expect(writeReport(folder)).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringContaining("cells[0].id"),
    });
  });
});

/** Points of a figure as its SVG draws them: symbols; where it has none of its own, the corners of its lines. */
function pointsDrawn(svg: string): number {
  const marks = (pattern: string) => [
    ...svg.matchAll(new RegExp(`<g class="${pattern}"[^>]*>(.*?)</g>`, "gs")),
  ];
  const symbols = marks("mark-symbol role-mark (?:points|hollow)_marks");
  if (symbols.length > 0) {
    return symbols.reduce((sum, [, inside]) => sum + (inside.match(/<(?:path|use) /g) ?? []).length, 0);
  }
  return marks('mark-line role-mark [^"]*marks').reduce(
    (sum, [, inside]) => sum + (inside.match(/ d="([^"]*)"/)?.[1].match(/[ML]/g) ?? []).length,
    0,
  );
}
