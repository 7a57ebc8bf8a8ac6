import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stateInWords } from "../dist/cli/folder-states.js";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { plannedStates } from "../dist/study/run/cell-states.js";
import { runStudy } from "../dist/study/run/run.js";
import { cli } from "./cli-fixture.js";
import { quickStudy, readResults, withoutCost } from "./study-fixture.js";

type Model = StudyInput["models"][number];

let folder: string;
/** Where the manifest lies now. */
let cohort: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "transfer-limits-growing-"));
  cohort = join(folder, "cohort");
  await writePhantomCohort(cohort, { cases: 6, seed: 3, voxels: [32, 32, 16] });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A study of a seed, a task, a model and what trains nothing of it, with a cache of its own. */
function study(output: string, changes: Partial<StudyInput> = {}): StudyInput {
  const base = quickStudy(folder, output, {
    seeds: [1],
    tasks: ["lesion-segmentation"],
    comparators: ["pretrained", "random-weights"],
    training: { epochs: 1, learningRate: 1e-3 },
    ...changes,
  });
  return {
    ...base,
    cohort: { ...base.cohort, manifest: join(cohort, "manifest.csv") },
    execution: { ...base.execution, cache: join(folder, output, "cache") },
  };
}

const [first] = quickStudy("", "").models as [Model];
const second: Model = {
  ...first,
  name: "other",
  encoder: { family: "convnext-v2-3d", channels: 3, depths: [1, 1, 1, 1], dims: [4, 4, 8, 16] },
};

/** Runs a study, and answers what it worked on, what it moved and what it prepared anew. */
async function run(input: StudyInput) {
  const events: StudyEvent[] = [];
  const before = preparedIn(input);
  const results = await runStudy(input, { onProgress: (event) => events.push(event) });
  expect(results.complete).toBe(true);
  const of = <Kind extends StudyEvent["kind"]>(kind: Kind) =>
    events.filter((event): event is Extract<StudyEvent, { kind: Kind }> => event.kind === kind);
  return {
    results,
    worked: of("cell-started")
      .map(({ cell }) => cell.id)
      .sort(),
    away: Object.fromEntries(of("cell-moved-away").map(({ id, reason }) => [id, reason])),
    back: of("cell-moved-back").map(({ id }) => id),
    prepared: preparedIn(input).filter((name) => !before.includes(name)),
  };
}

const preparedIn = ({ execution }: StudyInput): string[] => {
  try {
    return readdirSync(execution?.cache as string).filter((name) => name.endsWith(".safetensors"));
  } catch {
    return [];
  }
};
const cellsIn = (output: string) => readdirSync(join(folder, output, "cells")).sort();
/** What of a study must be the same however it came about. */
const numbersOf = async (output: string) =>
  JSON.stringify(withoutCost(await readResults(join(folder, output))), null, 1);
const bytes = (...path: string[]) => readFileSync(join(folder, ...path));

describe("A study that grows", () => {
  it("by a seed, a task, a model, comparators and another place computes what is new, and ends as one that was whole from the start", async () => {
    const before = await run(study("grown"));
    expect(before.worked).toHaveLength(4); // pretraining, two comparators and what takes no network
    const known = new Set(cellsIn("grown"));
    const tasks: StudyInput["tasks"] = ["lesion-segmentation", "super-resolution"];
    const steps: Partial<StudyInput>[] = [{ seeds: [1, 2] }, { tasks }, { models: [first, second] }];
    let changes: Partial<StudyInput> = {};
    const comparators: StudyInput["comparators"] = [
      ...(["fine-tuned", "from-scratch", "specialised"] as const),
      ...(["pretrained", "random-weights"] as const),
    ];
    for (const step of [...steps, { comparators }]) {
      changes = { ...changes, ...step };
      const { worked, away, back, prepared } = await run(study("grown", changes));
      const now = cellsIn("grown");
      expect(worked, JSON.stringify(step)).toEqual(now.filter((id) => !known.has(id)));
      expect(worked.length).toBeGreaterThan(1);
      expect([away, back, prepared]).toEqual([{}, [], []]);
      for (const id of now) known.add(id);
    }

    renameSync(join(folder, "cohort"), join(folder, "elsewhere"));
    renameSync(join(folder, "grown"), join(folder, "moved"));
    cohort = join(folder, "elsewhere");
    const moved = await run(study("moved", changes));
    expect([moved.worked, moved.away, moved.prepared]).toEqual([[], {}, []]);

    await run(study("whole", changes));
    expect(await numbersOf("moved")).toBe(await numbersOf("whole"));
    expect(cellsIn("moved")).toEqual(cellsIn("whole"));
    for (const name of ["results.csv", "splits.json"])
      expect(bytes("moved", name).equals(bytes("whole", name)), name).toBe(true);
    for (const id of cellsIn("whole"))
      for (const name of readdirSync(join(folder, "whole", "cells", id))) {
        if (!name.endsWith(".safetensors") && !name.endsWith(".csv")) continue;
        const [one, other] = [bytes("moved", "cells", id, name), bytes("whole", "cells", id, name)];
        expect(one.equals(other), `${id}/${name}`).toBe(true);
      }
  }, 300_000);

  it("may list its seeds, tasks and models in another order, and say of its seeds how many there are", async () => {
    const both = { seeds: [1, 2], models: [first, second] };
    await run(study("order", both));
    const turned = await run(
      study("order", { seeds: { count: 3, vary: ["weights", "order"] }, models: [second, first] }),
    );
    expect(turned.worked.every((id) => id.endsWith("seed3"))).toBe(true);
    expect(turned.worked).toHaveLength(4);
    expect(turned.away).toEqual({});
  }, 300_000);

  it("by smaller training sets trains on those alone", async () => {
    const comparators: StudyInput["comparators"] = ["fine-tuned", "from-scratch"];
    await run(study("curve", { comparators }));
    const { worked, away } = await run(study("curve", { comparators, learningCurve: { patients: [2] } }));
    expect(worked).toHaveLength(3);
    for (const id of worked) expect(id).toMatch(/--patients2$/);
    expect(away).toEqual({});
  }, 300_000);
});

describe("The plan of a study that was changed", () => {
  it("says of each cell what becomes of it and why, and touches nothing", async () => {
    const comparators: StudyInput["comparators"] = ["fine-tuned", "pretrained"];
    await run(study("planned", { comparators }));
    const file = join(folder, "planned.json");
    const planned = async (changes: Partial<StudyInput>) => {
      writeFileSync(file, JSON.stringify(study("planned", { comparators, ...changes })));
      const [text, json] = [await cli("plan", file), await cli("plan", file, "--json")];
      expect(json.status, json.stderr).toBe(0);
      const { cells, inFolder } = JSON.parse(json.stdout) as {
        cells: { id: string; state: { kind: string; reason?: string } }[];
        inFolder: object;
      };
      const states = Object.fromEntries(
        cells.map(({ id, state }) => [id, [state.kind, state.reason ?? []].flat().join(": ")]),
      );
      return { states, inFolder, text: text.stdout };
    };
    const before = cellsIn("planned");
    const same = await planned({});
    expect(new Set(Object.values(same.states))).toEqual(new Set(["kept"]));
    expect(same.inFolder).toMatchObject({ kept: 4, new: 0, changed: 0, noLongerBelong: [] });

    const changes: Partial<StudyInput> = {
      seeds: [1, 2],
      comparators: ["fine-tuned", "random-weights"],
      training: { epochs: 2, learningRate: 1e-3 },
    };
    const { states, inFolder, text } = await planned(changes);
    const ofTask = "profound--lesion-segmentation";
    expect(states).toEqual({
      "profound--pretraining": "kept",
      [`${ofTask}--fine-tuned--seed1`]: "changed: training.epochs 1 -> 2",
      [`${ofTask}--random-weights--seed1`]: "new",
      [`${ofTask}--fine-tuned--seed2`]: "new",
      [`${ofTask}--random-weights--seed2`]: "new",
      [before.find((id) => id.endsWith("--trivial")) as string]: "kept",
    });
    const gone = [`${ofTask}--pretrained--seed1`];
    expect(inFolder).toMatchObject({ kept: 2, new: 3, changed: 1, damaged: 0, noLongerBelong: gone });
    expect(text).toMatch(/: 2 kept, 3 new, 1 changed, 1 no longer belonging\n/);
    expect(text).toMatch(/fine-tuned--seed1 .* changed: training\.epochs 1 -> 2\n/);
    expect(text).toContain(`no longer belongs: ${gone[0]}`);
    expect(cellsIn("planned")).toEqual(before);

    // What was planned is what happens.
    const { worked, away } = await run(study("planned", { comparators, ...changes }));
    expect(worked).toEqual(
      Object.keys(states)
        .filter((id) => states[id] !== "kept")
        .sort(),
    );
    expect(Object.keys(away).sort()).toEqual([`${ofTask}--fine-tuned--seed1`, ...gone]);
    const back = await planned({});
    expect(new Set(Object.values(back.states))).toEqual(new Set(["kept", "returns"]));
    expect(back.text).toMatch(/fine-tuned--seed1 .* kept \(moved back\)\n/);
  }, 300_000);

  it("takes a case that could not be read for one that cannot be, until its file is another", async () => {
    const manifest = join(cohort, "manifest.csv");
    const sound = readFileSync(manifest, "utf8");
    const changes: Partial<StudyInput> = {
      comparators: ["random-weights"],
      split: { train: 4, validation: 1, test: 2 },
    };
    const stated = async () => {
      const checked = await checkStudy(study("cases", changes));
      const states = await plannedStates(checked);
      return new Set([...(states?.cells.values() ?? [])].map(stateInWords));
    };
    const others = join(folder, "others");
    await writePhantomCohort(others, { cases: 7, seed: 4, voxels: [32, 32, 16] });
    try {
      const row = readFileSync(join(others, "manifest.csv"), "utf8").trimEnd().split("\n").at(-1);
      writeFileSync(manifest, `${sound.trimEnd()}\n${row}\n`);
      const { results } = await run(study("cases", changes));
      expect(results.cohort.excluded.map((one) => one.case)).toEqual(["phantom-007"]);
      expect(await stated()).toEqual(new Set(["kept"]));
      cpSync(join(others, "phantom-007"), join(cohort, "phantom-007"), { recursive: true });
      const [words = ""] = await stated();
      expect(words).toMatch(/^changed: the \w+ set: (3 -> 4|0 -> 1|1 -> 2) cases, /);
      const { worked } = await run(study("cases", changes));
      expect(worked).toEqual(cellsIn("cases"));
    } finally {
      writeFileSync(manifest, sound);
    }
  }, 300_000);
});

describe("A study that is changed", () => {
  it("computes what a change concerns, names why, and takes up what it had when it is changed back", async () => {
    const all: Partial<StudyInput> = { comparators: ["fine-tuned", "pretrained"] };
    const began = await run(study("changed", all));
    const before = await numbersOf("changed");
    const longer = await run(study("changed", { ...all, training: { epochs: 2, learningRate: 1e-3 } }));
    const tuned = "profound--lesion-segmentation--fine-tuned--seed1";
    expect(longer.worked).toEqual([tuned]);
    expect(longer.away).toEqual({ [tuned]: "changed: training.epochs 1 -> 2" });
    expect(await numbersOf("changed")).not.toBe(before);
    expect(readdirSync(join(folder, "changed", "no-longer-belongs"))).toEqual([tuned]);

    const back = await run(study("changed", all));
    expect([back.worked, back.back, Object.keys(back.away)]).toEqual([[], [tuned], [tuned]]);
    expect(await numbersOf("changed")).toBe(before);
    expect(withoutCost(back.results)).toEqual(withoutCost(began.results));
  }, 300_000);

  it("keeps what it no longer has out of its results, and beside them", async () => {
    const two = { tasks: ["lesion-segmentation", "super-resolution"] } satisfies Partial<StudyInput>;
    await run(study("smaller", two));
    const before = await numbersOf("smaller");
    const smaller = await run(study("smaller"));
    expect(smaller.worked).toEqual([]);
    expect(Object.values(smaller.away)).toEqual(
      Array.from({ length: 3 }, () => "the study has no such cell any more"),
    );
    expect(smaller.results.cells.every(({ task }) => task === "lesion-segmentation")).toBe(true);
    expect(readdirSync(join(folder, "smaller", "jobs"))).toHaveLength(4);
    const again = await run(study("smaller", two));
    expect([again.worked, again.back.length]).toEqual([[], 3]);
    expect(await numbersOf("smaller")).toBe(before);
  }, 300_000);

  it("pretrains again where pretraining changed, and trains again what starts from it, and nothing else", async () => {
    const own = (epochs: number) => ({
      models: [{ ...first, pretrain: { ...first.pretrain, epochs } }, second] as Model[],
    });
    await run(study("pretraining", own(1)));
    const before = await numbersOf("pretraining");
    const cells = ["profound--lesion-segmentation--pretrained--seed1", "profound--pretraining"];
    const longer = await run(study("pretraining", own(2)));
    expect(longer.worked).toEqual(cells);
    expect(longer.away).toEqual({
      "profound--pretraining": "changed: model.pretrain.epochs 1 -> 2",
      "profound--lesion-segmentation--pretrained--seed1": "changed: the weights that it starts from",
    });
    const back = await run(study("pretraining", own(1)));
    expect([back.worked, back.back.sort()]).toEqual([[], cells]);
    expect(await numbersOf("pretraining")).toBe(before);
  }, 300_000);

  it("in what no cell rests on computes none again", async () => {
    await run(study("margins"));
    const { worked, away } = await run(
      study("margins", {
        name: "renamed",
        alignment: { sigma: 2 },
        claims: { margins: { "lesion-segmentation": 0.3 } },
      }),
    );
    expect([worked, away]).toEqual([[], {}]);
  }, 300_000);
});

describe("Cells of one id", () => {
  it("of two studies are never taken for each other, whoever puts them into a folder", async () => {
    await run(study("one", { seed: 1 }));
    await run(study("two", { seed: 2 }));
    const expected = await numbersOf("two");
    rmSync(join(folder, "two", "cells"), { recursive: true });
    cpSync(join(folder, "one", "cells"), join(folder, "two", "cells"), { recursive: true });
    const { worked, away } = await run(study("two", { seed: 2 }));
    expect(worked).toEqual(cellsIn("two"));
    for (const reason of Object.values(away)) expect(reason).toMatch(/^changed: seed 1 -> 2/);
    expect(await numbersOf("two")).toBe(expected);
  }, 300_000);

  it("that lie aside damaged are computed again", async () => {
    const results: StudyResults[] = [];
    const id = "profound--lesion-segmentation--random-weights--seed1";
    results.push((await run(study("aside"))).results);
    await run(study("aside", { comparators: ["pretrained"] }));
    const place = join(folder, "aside", "no-longer-belongs", id);
    const file = join(place, readdirSync(place)[0] as string, "embeddings.safetensors");
    const damaged = readFileSync(file);
    damaged[damaged.length - 2] = (damaged.at(-2) as number) ^ 1;
    rmSync(file);
    writeFileSync(file, damaged);
    const again = await run(study("aside"));
    expect([again.worked, again.back]).toEqual([[id], []]);
    expect(withoutCost(again.results)).toEqual(withoutCost(results[0]));
  }, 300_000);
});
