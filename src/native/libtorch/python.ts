import { spawn } from "node:child_process";
import { messageOf, TransferLimitsError } from "../../common/errors.js";

/** Runs `python3` and gives what it wrote to stdout; an error carries the end of what it wrote to stderr. */
export async function runPython(args: string[], environment: NodeJS.ProcessEnv): Promise<string> {
  const { code, stdout, stderr } = await run("python3", args, environment);
  if (code === 0) return stdout;
  throw new TransferLimitsError(
    "LIBTORCH_MISSING",
    `python3 failed (exit status ${code}): ${lastLines(stderr)}`,
  );
}

/** pip's version as [major, minor]; an error when there is no `python3`, or it has no pip. */
export async function requirePip(environment: NodeJS.ProcessEnv): Promise<[number, number]> {
  const { code, stdout, stderr } = await run("python3", ["-m", "pip", "--version"], environment);
  const version = /^pip (\d+)\.(\d+)/.exec(stdout);
  if (code === 0 && version) return [Number(version[1]), Number(version[2])];
  throw new TransferLimitsError(
    "LIBTORCH_MISSING",
    `LibTorch is fetched with pip, but python3 has none: ${lastLines(stderr)}\n` +
      "Install it (Debian and Ubuntu: apt-get install python3-pip), or set LIBTORCH to an unpacked LibTorch.",
  );
}

/** Runs a program to its end, whatever its exit status; `LIBTORCH_MISSING` when it cannot be started. */
export function run(
  program: string,
  args: string[],
  environment: NodeJS.ProcessEnv,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", (error) =>
      reject(
        new TransferLimitsError(
          "LIBTORCH_MISSING",
          `${program} could not be started: ${messageOf(error)}. It is needed once, to fetch LibTorch with pip. ` +
            "Install Python 3 with pip (Debian and Ubuntu: apt-get install python3-pip), " +
            "or set LIBTORCH to an unpacked LibTorch.",
          { cause: error },
        ),
      ),
    );
    child.on("close", (code) => resolve({ code, stdout, stderr }));
  });
}

/** The end of a program's messages: where the reason stands. */
export function lastLines(text: string, count = 6): string {
  return text.trim().split("\n").slice(-count).join("\n");
}
