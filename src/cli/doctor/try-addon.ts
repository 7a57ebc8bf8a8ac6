import { spawn } from "node:child_process";
import type { BuildInfo } from "../../native/runtime.js";

/** What became of loading the addon in a process of its own. */
export type AddonTrial =
  | { loaded: true; build: BuildInfo; threads: number }
  | { loaded: false; reason: string };

/**
 * Loads the addon and computes a little with it, in a child process: a binary that crashes while it is loaded must
 * not take the one who asks down with it.
 */
export function tryAddon(environment: NodeJS.ProcessEnv): Promise<AddonTrial> {
  const url = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    const { buildInfo, threads } = await import(${url("../../native/runtime.js")});
    const { Tensor } = await import(${url("../../native/tensor.js")});
    const tensor = Tensor.from(new Float32Array([1, 2, 3]), [3]);
    const back = await tensor.toArray();
    if (back.join() !== "1,2,3") throw new Error("a tensor came back as " + back.join());
    tensor.dispose();
    process.stdout.write(JSON.stringify({ loaded: true, build: buildInfo(), threads: threads() }));
  `;
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script], {
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 60_000,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      stdout += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      stderr += chunk;
    });
    child.on("error", (error) => resolve({ loaded: false, reason: error.message }));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(JSON.parse(stdout) as AddonTrial);
      else resolve({ loaded: false, reason: reasonOf(stderr, code, signal) });
    });
  });
}

/** The error's message out of what Node prints of an uncaught error, or how the process ended. */
function reasonOf(stderr: string, code: number | null, signal: NodeJS.Signals | null): string {
  if (signal) return `the process that tried was ended by ${signal}`;
  const message = /^\w*Error: ([\s\S]*?)(?:\n {4}at |$(?![\s\S]))/m.exec(stderr)?.[1];
  return message ?? `the process that tried ended with exit status ${code}: ${stderr.trim()}`;
}
