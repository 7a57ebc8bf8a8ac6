import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { submitStudy } from "../dist/slurm/submit.js";
import { resolveStudy } from "../dist/study/config/resolve.js";
import type { StudyInput } from "../dist/study/config/schema.js";
import { checkStudy } from "../dist/study/plan/load-study.js";
import { cli, smallStudy } from "./cli-fixture.js";
import { tinyStudy } from "./study-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

type Slurm = NonNullable<NonNullable<StudyInput["execution"]>["slurm"]>;

/** A folder with a manifest, of which submitting reads the names of the columns alone. */
async function cohortFolder(): Promise<string> {
  const folder = await temporaryFolder();
  mkdirSync(join(folder, "cohort"));
  const rows = Array.from({ length: 6 }, (_, index) => `c${index},p${index},t.nii,a.nii,h.nii,l.nii,3`);
  writeFileSync(
    join(folder, "cohort", "manifest.csv"),
    ["case,patient,t2w,adc,hbv,lesion,pirads", ...rows].join("\n"),
  );
  return folder;
}

/** The scripts of a study by their names, with what was said of them; nothing is submitted. */
async function scriptsOf(slurm: Slurm, output = "out", more: Partial<StudyInput> = {}) {
  const folder = await cohortFolder();
  const checked = await checkStudy(
    tinyStudy(folder, output, { ...more, execution: { ...more.execution, slurm } }),
  );
  const submitted = await submitStudy(checked, { dryRun: true });
  const at = submitted.folder as string;
  const text = (name: string) => readFileSync(join(at, name), "utf8");
  return { submitted, at, text, folder, checked };
}

const faultsOf = (slurm: unknown): string => {
  const input = { ...tinyStudy("/x", "out"), execution: { slurm } };
  const result = resolveStudy(input, "/x");
  return "faults" in result
    ? result.faults.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n")
    : "";
};

/** What a shell takes `#SBATCH` lines for, by the rules that sbatch's manual gives, which the test on a real Slurm tries. */
const optionsIn = (script: string): string[] =>
  script
    .split("\n")
    .filter((line) => line.startsWith("#SBATCH "))
    .map((line) => line.slice(8));

describe("The scripts of run --slurm", () => {
  it("say partition, account, time, memory, processors and GPUs, in lines that a person reads", async () => {
    const { text, submitted } = await scriptsOf(
      {
        ...{ partition: "gpu", account: "ab12", qos: "long", time: "1-06:00:00", gres: "gpu:a100:1" },
        ...{ memory: "32G", cpus: 8, arrayLimit: 5, options: ["--constraint=a100"] },
      },
      "out",
      { execution: { device: "cuda" } },
    );
    const options = optionsIn(text("cells-1.sh"));
    for (const option of [
      "--partition=gpu",
      "--account=ab12",
      "--qos=long",
      "--time=1-06:00:00",
      "--gres=gpu:a100:1",
      "--mem=32G",
      "--cpus-per-task=8",
      "--constraint=a100",
      "--requeue",
      "--signal=B:USR1@120",
      "--kill-on-invalid-dep=yes",
    ])
      expect(options).toContain(option);
    expect(options.find((option) => option.startsWith("--array="))).toMatch(/^--array=0-\d+%5$/);
    expect(text("cells-1.sh")).toMatch(/^exec .* cell .* "\$\{cells\[@\]\}" --slurm --device cuda:0$/m);
    for (const job of submitted.jobs) expect(job).toMatchObject({ memoryMegabytes: 32_768, minutes: 1800 });
    // Preparing and gathering take no GPU.
    expect(text("prepare.sh")).not.toContain("gres");
    expect(text("collect.sh")).not.toContain("gres");
    expect(submitted.jobs.map(({ script }) => script)).toEqual([
      "prepare",
      "pretraining-1",
      "cells-1",
      "cells-2",
      "collect",
    ]);
  });

  it("take one GPU and the threads of the study where nothing is said", async () => {
    const { text, checked } = await scriptsOf({}, "out", { execution: { device: "cuda", threads: 3 } });
    expect(optionsIn(text("cells-1.sh"))).toEqual(
      expect.arrayContaining(["--gres=gpu:1", "--cpus-per-task=3"]),
    );
    const { text: onCpu, at } = await scriptsOf({ cpus: 6 }, "out", { execution: { threads: null } });
    expect(optionsIn(onCpu("cells-1.sh"))).toContain("--cpus-per-task=6");
    expect(onCpu("cells-1.sh")).not.toContain("gres");
    // Otherwise whichever machine prepares the study would say how many.
    expect(JSON.parse(readFileSync(join(at, "study.json"), "utf8")).execution.threads).toBe(6);
    expect(checked.study.execution.threads).toBe(3);
  });

  it("warn a task two minutes before its end, or after two thirds of a short one", async () => {
    const { text } = await scriptsOf({ time: 3 });
    expect(optionsIn(text("cells-1.sh"))).toContain("--signal=B:USR1@60");
  });

  it("name each cell once, are sound shell, and can be submitted by hand in the same order", async () => {
    const { at, text, submitted } = await scriptsOf({ setup: ["module load nodejs"] });
    const arrays = submitted.jobs.filter(({ tasks }) => tasks !== null).map(({ script }) => script);
    const ids = arrays.flatMap((name) =>
      [...text(`${name}.sh`).matchAll(/^\d+\) cells=\((.*)\) ;;$/gm)].flatMap(([, list = ""]) =>
        list.split(" "),
      ),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toContain("profound--pretraining");
    expect(ids).toHaveLength(submitted.jobs.reduce((sum, { cells }) => sum + cells, 0));
    for (const name of readdirSync(at).filter((one) => one.endsWith(".sh")))
      expect(spawnSync("bash", ["-n", join(at, name)]).status, name).toBe(0);
    // With an sbatch that counts, the script submits all of them, each after what it waits for.
    const programs = join(at, "programs");
    mkdirSync(programs);
    writeFileSync(
      join(programs, "sbatch"),
      '#!/bin/bash\nn=$(($(cat "$0.n" 2>/dev/null || echo 100) + 1)); echo $n > "$0.n"; echo "$*" >> "$0.log"; echo "$n;cluster"\n',
      { mode: 0o755 },
    );
    execFileSync("bash", [join(at, "submit.sh")], {
      env: { ...process.env, PATH: `${programs}:${process.env.PATH}` },
    });
    expect(readFileSync(join(programs, "sbatch.log"), "utf8").trim().split("\n")).toEqual([
      "--parsable prepare.sh",
      "--parsable --dependency=afterok:101 pretraining-1.sh",
      "--parsable --dependency=afterok:101 cells-1.sh",
      "--parsable --dependency=afterok:102_0 cells-2.sh",
      "--parsable --dependency=afterany:102:103:104 collect.sh",
    ]);
    expect(text("submitted.tsv").split("\n")[1]).toBe("pretraining-1\t102");
  });

  it("are written anew in their place as long as none was submitted", async () => {
    const { at, checked } = await scriptsOf({});
    const again = await submitStudy(checked, { dryRun: true });
    expect(again.folder).toBe(at);
    writeFileSync(join(at, "submitted.tsv"), "");
    expect((await submitStudy(checked, { dryRun: true })).folder).not.toBe(at);
  });

  it("keep blanks, quotes, dollars and percent signs of the study's folder as they are", async () => {
    const { text, at } = await scriptsOf({}, "it's 100% $HOME");
    expect(text("cells-1.sh")).toContain(
      `#SBATCH --output="${at.replaceAll("'", "\\'").replaceAll("%", "%%")}/logs/cells-1.%a.log"`,
    );
    const call = /^exec (.*) "\$\{cells\[@\]\}".*$/m.exec(text("cells-1.sh"))?.[1] as string;
    const words = execFileSync("bash", ["-c", `printf '%s\\n' ${call}`], { encoding: "utf8" })
      .trim()
      .split("\n");
    expect(words.at(-1)).toBe(at.replace(/\/slurm\/1$/, ""));
    const checked = await checkStudy(tinyStudy(await cohortFolder(), "back\\slash"));
    await expect(submitStudy(checked, { dryRun: true })).rejects.toMatchObject({
      code: "BAD_CONFIG",
      message: expect.stringContaining("without backslashes"),
    });
  });
});

describe("Lines of the setup", () => {
  const run = (script: string) => {
    // What follows the setup stands in for the work.
    const text = script.replace(/^exec .*$/m, "echo worked");
    return spawnSync("bash", ["-c", text], {
      encoding: "utf8",
      env: { ...process.env, SLURM_ARRAY_TASK_ID: "0" },
    });
  };
  const ran = async (...setup: string[]) => run((await scriptsOf({ setup })).text("cells-1.sh"));

  it("run before the work, and what they leave open does not swallow it", async () => {
    expect(await ran("export A=1", 'echo "setup $A"')).toMatchObject({
      status: 0,
      stdout: "setup 1\nworked\n",
    });
    expect((await ran("cat <<END", "text")).stdout).toContain("worked");
    expect((await ran("echo one \\")).stdout).toContain("worked");
    expect((await ran("# a comment \\", "#SBATCH --array=0-9")).stdout).toBe("worked\n");
  });

  it("that fail, or end the script, fail the job and say so", async () => {
    for (const line of ["false", "exit 0"]) {
      const { status, stdout, stderr } = await ran(line);
      expect(status).toBe(1);
      expect(stdout).not.toContain("worked");
      expect(stderr).toContain("The setup ended the script");
    }
  });

  it("that no shell understands are refused before anything is submitted", async () => {
    for (const line of ["echo 'open", "if true; then", "done"])
      await expect(scriptsOf({ setup: [line] })).rejects.toMatchObject({
        code: "BAD_CONFIG",
        message: expect.stringMatching(/execution\.slurm\.setup, but bash does not understand them: .*line/),
      });
  });
});

describe("Settings for Slurm", () => {
  it("that would break out of a script's line, or take another's place, are refused by name", () => {
    for (const partition of ["gpu\n#SBATCH --uid=0", "gpu x", "-p", "gpu;id", "$(id)", ""])
      expect(faultsOf({ partition })).toMatch(/^execution\.slurm\.partition: expected a name/);
    for (const gres of ["gpu:1 --exclusive", "gpu:1\n", "#"])
      expect(faultsOf({ gres })).toContain("slurm.gres");
    for (const memory of ["lots", "32", "0G", "1G\n"]) expect(faultsOf({ memory })).toContain("slurm.memory");
    for (const time of ["10:00", "soon", 0, "1-00:00:00\n", "12:61:00"])
      expect(faultsOf({ time })).toContain("slurm.time");
    expect(faultsOf({ setup: ["a\u0000b"] })).toContain("slurm.setup.0");
    expect(faultsOf({ options: ["--comment=a\nb"] })).toContain("one line without control characters");
    for (const option of ["-p gpu", "constraint=a100", "--", "id"])
      expect(faultsOf({ options: [option] })).toContain("an option of sbatch in its long form");
    expect(faultsOf({ partitio: "gpu" })).toContain('Did you mean "partition"?');
  });

  it("that this program says itself are refused among the options, however they are shortened", () => {
    for (const option of [
      "--array=0-9",
      "--arr=0-9",
      "--output=x",
      "--dependency=singleton",
      "--wrap=id",
      "--parsable",
    ])
      expect(faultsOf({ options: [option] }), option).toContain("is set by this program");
    expect(faultsOf({ options: ["--mem=1G"] })).toContain("expected --mem as execution.slurm.memory");
    expect(faultsOf({ options: ["--part=gpu"] })).toContain("execution.slurm.partition");
    expect(
      faultsOf({ options: ["--mem-per-gpu=1G", "--mail-type=FAIL", "--exclusive", '--comment=a "b" # c'] }),
    ).toBe("");
  });

  it("take the forms that Slurm's manual gives", () => {
    for (const time of [90, "01:30:00", "2-12", "2-12:30", "2-12:30:15"]) expect(faultsOf({ time })).toBe("");
    expect(
      faultsOf({
        partition: "gpu,gpu-long",
        account: "ab12.proj",
        qos: "normal+1",
        gres: "gpu:h100:2,tmp:10G",
      }),
    ).toBe("");
  });
});

describe("The command run", () => {
  it("writes the scripts with --slurm --dry-run, also where there is no Slurm", async () => {
    const folder = await cohortFolder();
    const path = join(folder, "study.yaml");
    writeFileSync(path, smallStudy());
    const { status, stdout, stderr } = await cli("run", path, "--slurm", "--dry-run", "--json");
    expect(status, stderr).toBe(0);
    const answer = JSON.parse(stdout);
    expect(answer).toMatchObject({ dryRun: true, done: 0, underWay: 0 });
    expect(existsSync(join(answer.folder, "submit.sh"))).toBe(true);
    expect(existsSync(join(answer.folder, "submitted.tsv"))).toBe(false);
  });

  it("refuses with Slurm what Slurm decides, and --dry-run without it", async () => {
    const folder = await cohortFolder();
    const path = join(folder, "study.yaml");
    writeFileSync(path, smallStudy("execution: { engine: slurm }"));
    const jobs = await cli("run", path, "--jobs", "2", "--json");
    expect(jobs.status).toBe(2);
    expect(JSON.parse(jobs.stdout).error.message).toContain("Expected --jobs without Slurm");
    const dry = await cli("run", path, "--no-slurm", "--dry-run", "--json");
    expect(dry.status).toBe(2);
    expect(JSON.parse(dry.stdout).error.message).toContain("Expected --slurm");
  });
});
