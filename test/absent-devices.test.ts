import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { writePhantomCohort } from "../dist/cohort/phantom.js";
import { cli, smallStudy } from "./cli-fixture.js";
import { temporaryFolder } from "./temporary-folder.js";

/** No machine has a hundred GPUs. */
const absent = "cuda:99";
const words = new RegExp(
  `Expected devices that this machine has \\(cpu[^)]*\\) but received ${absent}\\. Use one of them, or a machine that has ` +
    `${absent}; node dist/cli/main\\.js doctor says what was found here`,
);

let folder: string;
const study = async (execution: string): Promise<string> => {
  const path = join(folder, "study.yaml");
  await writeFile(path, smallStudy(`execution: ${execution}`));
  return path;
};

beforeEach(async () => {
  folder = await temporaryFolder();
  await writePhantomCohort(join(folder, "cohort"), { cases: 4, seed: 1, voxels: [32, 32, 16] });
});

describe("a device that this machine has not", () => {
  it.each(["plan", "run"])(
    "is refused by %s before any work, with what there is and what to do",
    async (command) => {
      const path = await study("{}");
      const { status, stdout, stderr } = await cli(command, path, "--devices", absent, "--json");
      expect(status).toBe(2);
      const { error } = JSON.parse(stdout);
      expect(error).toEqual({ code: "BAD_CONFIG", message: expect.stringMatching(words) });
      expect(stderr).toContain(absent);
      expect(existsSync(join(folder, "small-results"))).toBe(false);
    },
  );

  it("of a study that is planned here and run elsewhere is a warning of plan, and refused by run", async () => {
    const path = await study(`{ device: "${absent}" }`);
    const planned = await cli("plan", path, "--json");
    expect(planned.status).toBe(0);
    expect(JSON.parse(planned.stdout).warnings).toContainEqual(expect.stringMatching(words));
    const run = await cli("run", path);
    expect([run.status, run.stdout]).toEqual([2, ""]);
    expect(run.stderr).toMatch(words);
    const onCpu = await cli("plan", path, "--devices", "cpu", "--json");
    expect(JSON.parse(onCpu.stdout).warnings).not.toContainEqual(expect.stringMatching(words));
  });

  it.each([
    [
      "embed",
      (path: string) => ["embed", join(path, "cohort", "manifest.csv"), "--out", join(path, "e"), "--device"],
    ],
    [
      "pretrain",
      (path: string) => [
        "pretrain",
        join(path, "cohort", "manifest.csv"),
        "--out",
        join(path, "p"),
        "--device",
      ],
    ],
    ["bench", () => ["bench", "mmd", "--quick", "--no-peers", "--device"]],
  ])("is refused by %s", async (_, call) => {
    const { status, stderr } = await cli(...call(folder), absent);
    expect(status).toBe(2);
    expect(stderr).toMatch(words);
  });
});

describe("devices that do not go together", () => {
  it.each([
    ["cpu,cuda:0", "the CPU alone or GPUs alone"],
    ["tpu", '"cpu", "cuda" or "cuda:N"'],
    ["cpu,cpu", "each device once"],
  ])("%s: are refused with what is expected", async (list, expected) => {
    const { status, stderr } = await cli("plan", await study("{}"), "--devices", list);
    expect(status).toBe(2);
    expect(stderr).toContain(`Expected ${expected}`);
  });
});
