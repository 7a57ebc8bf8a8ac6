import { describe, expect, it } from "vitest";
import { locateLibTorch } from "../dist/native/libtorch.js";
import { cli, startCli } from "./cli-fixture.js";
import { temporaryFolder } from "./libtorch-fixture.js";

interface Finding {
  name: string;
  status: string;
  detail: string;
  remedy?: string;
}

const doctor = async (environment: NodeJS.ProcessEnv) => {
  const { status, stdout } = await startCli(["doctor", "--json"], environment).finished;
  const examination = JSON.parse(stdout) as {
    ok: boolean;
    findings: Finding[];
    libtorch: unknown;
    addon: unknown;
  };
  const finding = (name: string) => examination.findings.find((one) => one.name === name) as Finding;
  return { status, examination, finding };
};

describe("doctor", () => {
  it("finds on this machine, which runs the tests, all that a study needs", async () => {
    const { status, examination, finding } = await doctor(process.env);
    expect(examination).toMatchObject({
      ok: true,
      libtorch: { version: locateLibTorch().found?.version },
      addon: {
        loaded: true,
        threads: expect.any(Number),
        build: { libtorch: locateLibTorch().found?.version },
      },
    });
    expect(status).toBe(0);
    expect(finding("native addon").detail).toMatch(/built for LibTorch 2\.\d+\.\d+/);
    expect(finding("CPU").detail).toMatch(/^\d+ threads an operation/);
  });

  it("says in words, with a mark a line, what it found", async () => {
    const { status, stdout } = await cli("doctor");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ok {7}Node: v\d+/m);
    expect(stdout).toMatch(/^ok {7}LibTorch: 2\.\d+\.\d+ \(\w+\) in \//m);
  });

  it("ends with exit status 1 where LibTorch is missing, with every place tried and what to do", async () => {
    const { status, examination, finding } = await doctor({ ...process.env, LIBTORCH: "/nowhere/libtorch" });
    expect(status).toBe(1);
    expect(examination).toMatchObject({ ok: false, libtorch: null, addon: null });
    expect(finding("LibTorch")).toMatchObject({ status: "missing" });
    expect(finding("LibTorch").detail).toContain("LIBTORCH=/nowhere/libtorch: no such folder");
    expect(finding("LibTorch").detail).toContain("doctor --install");
    expect(finding("native addon")).toMatchObject({ status: "missing", remedy: expect.any(String) });
  });

  it("does not miss the build tools once everything is built, and does while it is not", async () => {
    const built = await doctor({ ...process.env, PATH: "/nowhere", CXX: "" });
    expect(built.status).toBe(0);
    expect(built.finding("cmake")).toMatchObject({
      status: "note",
      remedy: expect.stringContaining("CMake"),
    });

    const bare = { PATH: "/nowhere", HOME: temporaryFolder(), XDG_CACHE_HOME: temporaryFolder() };
    const missing = await doctor({ ...bare, LIBTORCH: "" });
    expect(missing.status).toBe(1);
    for (const name of ["cmake", "g++", "python3", "pip"]) {
      expect(missing.finding(name)).toMatchObject({ status: "missing", remedy: expect.any(String) });
    }
  });
});
