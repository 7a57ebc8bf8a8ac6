import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { CellResult } from "../dist/results/cell.js";
import type { StudyResults } from "../dist/results/study.js";
import { tinyStudy } from "./study-fixture.js";

const root = fileURLToPath(new URL("../", import.meta.url));

/** The package with one file more, and one line more in the list of kinds; nothing else knows of it. */
function withSquareTask(): string {
  const folder = mkdtempSync(join(tmpdir(), "transfer-limits-new-task-"));
  for (const name of ["package.json", "libtorch.lock.json", "cuda-toolkit.lock.json", "dist"])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  for (const name of ["node_modules", "build"]) symlinkSync(join(root, name), join(folder, name));
  const options = ["--module", "nodenext", "--target", "es2022", "--skipLibCheck", "--types", "node"];
  const { status, stdout } = spawnSync(
    process.execPath,
    [
      join(root, "node_modules", "typescript", "bin", "tsc"),
      ...[
        "--ignoreConfig",
        ...options,
        "--outDir",
        join(folder, "test"),
        join(root, "test", "dummy-task.ts"),
      ],
    ],
    { encoding: "utf8", cwd: root },
  );
  expect(status, stdout).toBe(0);
  appendFileSync(
    join(folder, "dist", "tasks", "kinds.js"),
    '\nexport { squareTask } from "../../test/dummy-task.js";\n',
  );
  return folder;
}

describe("A kind of task that is one file and one line in the list", () => {
  let folder: string;
  let results: StudyResults;
  let study: string;
  let plan: string;

  const cli = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(folder, "dist", "cli", "main.js"), ...args],
      { encoding: "utf8" },
    );
    return { status, stdout, stderr };
  };
  const done = (...args: string[]): string => {
    const { status, stdout, stderr } = cli(...args);
    expect(status, stderr).toBe(0);
    return stdout;
  };

  beforeAll(async () => {
    folder = withSquareTask();
    await writePhantomCohort(join(folder, "cohort"), { cases: 7, seed: 3, voxels: [32, 32, 16] });
    const { execution, models, ...rest } = tinyStudy(folder, "results");
    study = join(folder, "study.yaml");
    writeFileSync(
      study,
      stringify({
        ...rest,
        models: models.map((model) => ({ ...model, pretrain: { epochs: 1, batchSize: 2, decoderDim: 8 } })),
        execution: { ...execution, output: join(folder, "results") },
        split: { train: 3, validation: 2, test: 2 },
        seeds: [1, 2],
        tasks: [{ kind: "square", name: "my-square", training: { epochs: 3, learningRate: 0.01 } }],
        comparators: ["fine-tuned", "from-scratch", "trivial"],
        claims: { margins: { square: 0.003 } },
      }),
    );
    plan = done("plan", study);
    done("run", study);
    done("report", join(folder, "results"));
    results = JSON.parse(readFileSync(join(folder, "results", "results.json"), "utf8"));
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const resultsBy = (comparator: string): CellResult[] =>
    results.cells.flatMap((cell) => (cell.comparator === comparator && cell.result ? [cell.result] : []));

  it("is planned by its own name, metric and margin", () => {
    expect(plan).toContain("my-square");
    expect(plan).toContain("0.003");
  });

  it("is trained, and each epoch chosen for the lowest error on the validation set", () => {
    const trained = [...resultsBy("fine-tuned"), ...resultsBy("from-scratch")];
    expect(trained).toHaveLength(4);
    for (const { metric, curve, bestEpoch } of trained) {
      expect(metric).toMatchObject({ name: "Mean absolute error", lowerIsBetter: true });
      const values = curve.map(({ validationMetric }) => validationMetric as number);
      expect(bestEpoch).toBe(values.lastIndexOf(Math.min(...values)) + 1);
    }
  });

  it("takes of the answers without a network the one that errs least", () => {
    const [trivial] = resultsBy("trivial");
    const [ones, half] = trivial?.trivial?.tried ?? [];
    expect(half?.value).toBeLessThan(ones?.value as number);
    expect(trivial?.trivial?.answer).toBe("half");
  });

  it("is claimed on by who errs less, and by the margin that the study sets for its kind", () => {
    expect(results.claims?.length).toBe(2);
    for (const {
      lowerIsBetter,
      fineTuned,
      referenceValue,
      difference,
      equivalence,
      task,
    } of results.claims ?? []) {
      expect(task).toBe("my-square");
      expect(lowerIsBetter).toBe(true);
      expect(difference.estimate).toBeCloseTo(referenceValue - fineTuned, 10);
      expect(equivalence.margin).toBe(0.003);
    }
  });

  it("is reported with its name and its metric's direction", () => {
    const page = readFileSync(join(folder, "results", "report.html"), "utf8");
    expect(page).toContain("My square");
    expect(page).toContain("Mean absolute error, lower is better");
  });

  it("has its fields in the documentation's tables, described by its own file", () => {
    for (const name of ["docs", "scripts"]) mkdirSync(join(folder, name), { recursive: true });
    for (const name of ["docs/configuration.md", "scripts/configuration-docs.mjs"])
      writeFileSync(join(folder, name), readFileSync(new URL(`../${name}`, import.meta.url)));
    const script = join(folder, "scripts", "configuration-docs.mjs");
    expect(spawnSync(process.execPath, [script]).status).toBe(1);
    expect(spawnSync(process.execPath, [script, "--write"], { encoding: "utf8" })).toMatchObject({
      status: 0,
      stderr: "",
    });
    const written = readFileSync(join(folder, "docs", "configuration.md"), "utf8");
    expect(written).toContain("#### Fields of `square`\n\nAn image to its square.\n");
    expect(written).toContain("| `image` | text | – | the image that is squared. Default: the reference |");
    expect(written).toContain("| `claims.margins.square` | number above 0 | `0.002` |");
    expect(spawnSync(process.execPath, [script]).status).toBe(0);
  });

  it("refuses what its own file finds wrong, by the field of the study", () => {
    const wrong = join(folder, "wrong.yaml");
    writeFileSync(wrong, readFileSync(study, "utf8").replace("kind: square", "kind: square\n    image: t9w"));
    const { status, stderr } = cli("plan", wrong);
    expect(status).not.toBe(0);
    expect(stderr).toContain('"t9w"');
  });
});
