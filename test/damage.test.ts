import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import type { StudyEvent } from "../dist/common/progress.js";
import { loadWeights } from "../dist/models/checkpoints/load-weights.js";
import { Network } from "../dist/models/network.js";
import { writeReport } from "../dist/report/index.js";
import type { StudyResults } from "../dist/results/study.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { runStudy } from "../dist/study/run/run.js";
import { readResults, tinyStudy, withoutCost } from "./study-fixture.js";

type SetAside = Extract<StudyEvent, { kind: "set-aside" }>;

/** Changes one bit: of a digit in text, so that it says something else; of the last number in a file of tensors. */
function flipBit(path: string): void {
  const bytes = readFileSync(path);
  if (/\.safetensors$/.test(path)) {
    bytes[bytes.length - 2] = (bytes.at(-2) as number) ^ 1;
  } else {
    const isDigit = (byte: number) => byte >= 0x30 && byte <= 0x39;
    const place = bytes.findIndex((byte, index) => index >= bytes.length / 2 && isDigit(byte));
    bytes[place] = (bytes[place] as number) ^ 1;
  }
  writeFileSync(path, bytes);
}
const cut = (path: string) => writeFileSync(path, readFileSync(path).subarray(0, statSync(path).size / 2));
const empty = (path: string) => writeFileSync(path, "");

/** Every regular file under a folder. */
const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

describe("Damage to what a study's numbers rest on", () => {
  let folder: string;
  let undamaged: StudyResults;
  let halfWay: string[];

  /** Two encoders, one pretrained here and one brought along, of which one is fine-tuned frozen. */
  const study = (output: string, changes: Partial<StudyInput> = {}): StudyInput => {
    const base = tinyStudy(folder, output, {
      tasks: ["lesion-segmentation"],
      comparators: ["fine-tuned", "pretrained", "random-weights"],
      ...changes,
    });
    const { pretrain: _, ...model } = base.models[0] as StudyInput["models"][number];
    const brought = {
      ...model,
      name: "brought",
      weights: join(folder, "brought.safetensors"),
      finetune: "frozen",
    };
    // What was brought along was drawn, and never trained.
    const execution = { ...base.execution, cache: join(folder, output, "cache"), gate: "warn" };
    return { ...base, models: [...base.models, brought], execution } as StudyInput;
  };
  const copyOf = (from: string, name: string) =>
    cp(join(folder, from), join(folder, name), { recursive: true });

  /** Runs a study on, and answers what it set aside and which cells it worked on. */
  async function goOn(output: string, changes: Partial<StudyInput> = {}) {
    const setAside: SetAside[] = [];
    const worked = new Set<string>();
    const results = await runStudy(study(output, changes), {
      onProgress: (event) => {
        if (event.kind === "set-aside") setAside.push(event);
        if (event.kind === "cell-done") worked.add(event.cell.id);
      },
    });
    const told = setAside.map(({ file }) => relative(join(folder, output), file)).sort();
    return { results, setAside, told, worked: [...worked].sort() };
  }

  beforeAll(async () => {
    // So long a lock is left alone whose file was damaged.
    process.env.TRANSFER_LIMITS_DEAD_AFTER = "1";
    folder = mkdtempSync(join(tmpdir(), "transfer-limits-damage-"));
    await writePhantomCohort(join(folder, "cohort"), { cases: 6, seed: 3, voxels: [32, 32, 16] });
    const encoder = tinyStudy(folder, "x").models[0]?.encoder as Parameters<
      typeof Network.create
    >[0]["encoder"];
    using source = await Network.create({ encoder, seed: 11 });
    await source.save(join(folder, "brought.safetensors"));
    undamaged = await runStudy(study("done"));
    expect(undamaged.complete).toBe(true);

    // The same study, stopped when each fine-tuning has saved a state.
    const stopped = new AbortController();
    const states = new Set<string>();
    const running = runStudy(study("half-way", { training: { epochs: 2, learningRate: 1e-3 } }), {
      signal: stopped.signal,
      onProgress: (event) => {
        if (event.kind === "epoch" && event.cell.kind === "cell") states.add(event.cell.id);
        if (states.size === 2) stopped.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: "ABORTED" });
    halfWay = filesOf(join(folder, "half-way", "progress"));
  }, 240_000);

  afterAll(() => {
    delete process.env.TRANSFER_LIMITS_DEAD_AFTER;
    rmSync(folder, { recursive: true, force: true });
  });

  /** The state of a training lies in a folder that carries the number of whoever claimed the cell last. */
  const withoutTurn = (path: string) => path.replace(/^(progress\/[^/]+)\/\d+/, "$1");

  describe.each([
    ["a flipped bit", flipBit],
    ["the second half lost", cut],
    ["nothing left", empty],
  ])("%s", (name, damage) => {
    it("in every file of a finished study: all is set aside, named, and computed again to the same numbers", async () => {
      const output = `all: ${name}`;
      await copyOf("done", output);
      const damaged = filesOf(join(folder, output)).filter((file) => statSync(file).size > 0);
      for (const file of damaged) damage(file);
      const before = new Map(damaged.map((file) => [file, readFileSync(file)]));
      const { results, setAside, told, worked } = await goOn(output);
      expect(withoutCost(results)).toEqual(withoutCost(undamaged));
      expect(withoutCost(await readResults(join(folder, output)))).toEqual(withoutCost(undamaged));
      const volumes = readdirSync(join(folder, "done", "cache")).filter((file) =>
        file.endsWith(".safetensors"),
      );
      const cells = readdirSync(join(folder, "done", "cells"));
      expect(volumes).toHaveLength(6);
      expect(cells).toHaveLength(8); // what takes no network among them
      expect(told).toEqual(
        [
          ...cells.map((cell) => `cells/${cell}`),
          ...volumes.map((file) => `cache/${file}`),
          "study.resolved.json",
          "cohort.json",
          "sessions.json",
          "weights/brought.json",
          "fidelity/brought.json",
          "fidelity/profound--pretraining.json",
        ].sort(),
      );
      expect(worked).toEqual(cells.sort());
      for (const { file, keptAs } of setAside) {
        if (statSync(keptAs).isFile()) expect(readFileSync(keptAs)).toEqual(before.get(file));
        else
          for (const one of readdirSync(keptAs))
            expect(readFileSync(join(keptAs, one))).toEqual(before.get(join(file, one)));
      }
      expect(
        results.cost?.sessions
          .at(-1)
          ?.setAside?.map(({ file }) => file)
          .sort(),
      ).toEqual(told);
      await writeReport(join(folder, output));
      expect(readFileSync(join(folder, output, "report.html"), "utf8")).toContain(
        "Found damaged, and computed again",
      );

      const again = await goOn(output);
      expect(again.told).toEqual([]);
      expect(again.worked).toEqual([]);
    }, 240_000);

    it("in any file of a training that is half done: it is set aside, and the end is the same", async () => {
      for (const [index, file] of halfWay.entries()) {
        const output = `half ${index}: ${name}`;
        await copyOf("half-way", output);
        const within = relative(join(folder, "half-way"), file);
        damage(join(folder, output, within));
        const { results, told } = await goOn(output);
        expect(withoutCost(results), within).toEqual(withoutCost(undamaged));
        const [, cell] = within.split("/");
        // A lost checksum of features means that they are computed again.
        const owner = /features\//.test(within) ? within.replace(/\.sha256$/, "") : `progress/${cell}/1`;
        expect(told.map(withoutTurn), within).toEqual([withoutTurn(owner)]);
      }
    }, 240_000);
  });

  it("has only that cell done again whose embeddings it is in", async () => {
    await copyOf("done", "embeddings");
    const cell = undamaged.cells.find(
      ({ model, comparator }) => model === "profound" && comparator === "fine-tuned",
    )?.id as string;
    flipBit(join(folder, "embeddings", "cells", cell, "embeddings.safetensors"));
    const { results, told, worked } = await goOn("embeddings");
    expect(told).toEqual([`cells/${cell}`]);
    expect(worked).toEqual([cell]);
    expect(withoutCost(results)).toEqual(withoutCost(undamaged));
  });

  it("in an encoder has it pretrained again, and what started from the same encoder stays", async () => {
    await copyOf("done", "encoder");
    flipBit(join(folder, "encoder", "cells", "profound--pretraining", "encoder.safetensors"));
    const { results, told, worked } = await goOn("encoder");
    expect(told).toEqual(["cells/profound--pretraining"]);
    expect(worked).toEqual(["profound--pretraining"]);
    expect(withoutCost(results)).toEqual(withoutCost(undamaged));
  });

  it("in weights that a cell only keeps costs nothing until they are used, and then they are refused", async () => {
    await copyOf("done", "kept");
    const { id } = undamaged.cells.find(
      ({ comparator }) => comparator === "fine-tuned",
    ) as StudyResults["cells"][number];
    const best = join(folder, "kept", "cells", id, "best.safetensors");
    flipBit(best);
    const { told, worked } = await goOn("kept");
    expect([told, worked]).toEqual([[], []]);
    const encoder = tinyStudy(folder, "x").models[0]?.encoder as Parameters<
      typeof Network.create
    >[0]["encoder"];
    using network = await Network.create({ encoder, seed: 1 });
    await expect(loadWeights(network, best, { scope: "encoder" })).rejects.toMatchObject({
      code: "BAD_CHECKPOINT",
      message: expect.stringMatching(/best\.safetensors is damaged.*SHA256SUMS/),
    });
  });

  it("in the resolved study leaves the number of threads as it was, on which the last bits depend", async () => {
    await copyOf("done", "threads");
    flipBit(join(folder, "threads", "study.resolved.json"));
    const { execution, ...rest } = study("threads");
    const { threads: _, ...others } = execution as NonNullable<StudyInput["execution"]>;
    const results = await runStudy({ ...rest, execution: { ...others, jobs: 1 } } as StudyInput);
    expect(results.software.threads).toBe(1);
  });

  it("in results.json is told by the report, which goes on once the study has run again", async () => {
    await copyOf("done", "results");
    const file = join(folder, "results", "results.json");
    writeFileSync(file, readFileSync(file, "utf8").replace(/"mean": 0\.\d/, '"mean": 0.9'));
    await expect(writeReport(join(folder, "results"))).rejects.toMatchObject({
      code: "BAD_INPUT",
      message: expect.stringMatching(/results\.json was damaged or changed.*Run the study again/s),
    });
    await goOn("results");
    await writeReport(join(folder, "results"));
  });

  it("in a cell's pictures is told by the report, which shows none of them", async () => {
    await copyOf("done", "pictures");
    const { id } = undamaged.cells.find(
      ({ comparator }) => comparator === "fine-tuned",
    ) as StudyResults["cells"][number];
    flipBit(join(folder, "pictures", "cells", id, "examples.safetensors"));
    await writeReport(join(folder, "pictures"));
    const page = readFileSync(join(folder, "pictures", "report.html"), "utf8");
    expect(page).toMatch(/examples\.safetensors is damaged, or was changed/);
  });

  it("is found by sha256sum too", () => {
    const cell = join(folder, "done", "cells", "profound--pretraining");
    const check = () =>
      spawnSync("sha256sum", ["--check", "--strict", "--quiet", "SHA256SUMS"], {
        cwd: cell,
        encoding: "utf8",
      });
    expect(check()).toMatchObject({ status: 0, stdout: "", stderr: "" });
    const encoder = join(cell, "encoder.safetensors");
    const sound = readFileSync(encoder);
    flipBit(encoder);
    expect(check()).toMatchObject({ status: 1, stdout: "encoder.safetensors: FAILED\n" });
    writeFileSync(encoder, sound);
  });
});
