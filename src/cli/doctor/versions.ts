import { execFile } from "node:child_process";

/** The first line that a program prints of itself; null when it cannot be run. */
export function versionOf(
  program: string,
  args: string[],
  environment: NodeJS.ProcessEnv,
): Promise<string | null> {
  return new Promise((resolve) => {
    execFile(program, args, { env: environment, timeout: 20_000 }, (error, stdout) =>
      resolve(error ? null : (stdout.split("\n")[0] ?? "").trim()),
    );
  });
}
