// What every part of a visit works with: records that are written as they come, and programs with a limit of time.
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** The files of a visit's results: few, and none above `mostBytes`. */
export const files = {
  records: "results.jsonl",
  log: "log.txt",
  utilisation: "utilisation.csv",
  kernels: "kernels.csv",
  build: "build.txt",
};
const mostBytes = 15e6;

export class Visit {
  #written = new Map();

  /**
   * @param settings root: the unpacked folder; out: where results go; device: `cpu` or `cuda:0`; small: sizes for a test;
   *   started: of the visit, in ms; budget: seconds in all; tools: paths of programs, by name, null where they are not
   *   there; environment: of every program
   */
  constructor(settings) {
    Object.assign(this, settings);
    this.ends = settings.started + 1000 * settings.budget;
  }

  /** Appends to a file of the results, up to its limit. */
  write(name, text) {
    const before = this.#written.get(name) ?? 0;
    if (before + text.length > mostBytes) return;
    this.#written.set(name, before + text.length);
    appendFileSync(join(this.out, name), text);
  }

  /**
   * Runs a part within its own limit and what is left of the visit: what it started is ended with it. Whatever becomes of
   * it is recorded, and the visit goes on.
   *
   * @param description name, seconds: its limit, leastSeconds: what it needs to be begun, wants(visit): why it cannot be
   *   run here, or null, run(part): gives "late" where it was cut short
   */
  async runPart({ name, seconds, leastSeconds = 5, wants = () => null, run }) {
    const part = new Part(this, name, Math.min(this.ends, Date.now() + 1000 * seconds));
    const left = (this.ends - Date.now()) / 1000;
    const reason = left < leastSeconds ? "no time was left" : wants(this);
    if (reason !== null) return part.end("not run", reason);
    part.record("begin", { limit: seconds });
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve("late"), Math.max(0, part.ends - Date.now()));
    });
    try {
      part.end((await Promise.race([run(part), late])) === "late" ? "timed out" : "done");
    } catch (error) {
      part.end("failed", String(error?.message ?? error).slice(0, 500));
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A part while it runs: once it has ended, what is left of it records and starts nothing any more. */
class Part {
  #name;
  #began = Date.now();
  #closed = false;
  #groups = new Set();

  constructor(visit, name, ends) {
    this.visit = visit;
    this.#name = name;
    this.ends = ends;
  }

  get onGpu() {
    return this.visit.device !== "cpu";
  }

  /** Until its programs are ended. */
  get secondsLeft() {
    return (this.ends - Date.now()) / 1000 - 1;
  }

  /** Where it may leave what isn't kept. */
  get scratch() {
    return join(this.visit.root, "scratch", this.#name);
  }

  /** Adds a line to the records: `kind` says what the reader makes of it (read/records.mjs). */
  record(kind, fields) {
    if (this.#closed) return;
    const at = Math.round((Date.now() - this.visit.started) / 100) / 10;
    this.visit.write(files.records, `${JSON.stringify({ part: this.#name, at, kind, ...fields })}\n`);
  }

  end(outcome, reason) {
    const seconds = Math.round((Date.now() - this.#began) / 100) / 10;
    this.record("end", { outcome, seconds, ...(reason === undefined ? {} : { reason }) });
    this.#closed = true;
    for (const group of this.#groups) killGroup(group);
    const line = `${this.#name}: ${outcome}${reason === undefined ? "" : `: ${reason}`} (${seconds} s)\n`;
    this.visit.write(files.log, line);
    process.stdout.write(line);
  }

  /**
   * Runs a program to its end, or kills it with its children after so many seconds or just before the part's end, while
   * there is time to record what came of it. What it prints goes to the log too.
   *
   * @param onLine told each line of its output
   * @returns { status, late, lines, errors }: status null where it was killed; the last lines of either stream
   */
  run(program, args, { seconds = 600, env = {}, cwd = this.visit.root, onLine = () => {} } = {}) {
    const limit = this.#closed ? 0 : Math.min(1000 * seconds, this.secondsLeft * 1000);
    if (limit <= 0) return Promise.resolve({ status: null, late: true, lines: [], errors: [] });
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...this.visit.environment, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    if (child.pid !== undefined) this.#groups.add(child.pid);
    const [lines, errors] = [[], []];
    const collect = (stream, into, told) =>
      createInterface({ input: stream }).on("line", (line) => {
        this.visit.write(files.log, `${line}\n`);
        into.push(line);
        if (into.length > 20_000) into.shift();
        told(line);
      });
    collect(child.stdout, lines, onLine);
    collect(child.stderr, errors, () => {});
    return new Promise((resolve) => {
      let late = false;
      const timer = setTimeout(() => {
        late = true;
        killGroup(child.pid);
      }, limit);
      const settle = (status) => {
        clearTimeout(timer);
        this.#groups.delete(child.pid);
        resolve({ status, late, lines, errors });
      };
      child.on("error", (error) => {
        errors.push(error.message);
        settle(null);
      });
      child.on("close", settle);
    });
  }

  /** As `run`, for a Node program of this folder that prints a JSON document a line. */
  runNode(script, args, { onDocument, ...options }) {
    return this.run(process.execPath, [join(this.visit.root, "scripts", "gpu-visit", script), ...args], {
      ...options,
      onLine: (line) => {
        if (line.startsWith("{")) onDocument(JSON.parse(line));
      },
    });
  }
}

function killGroup(group) {
  try {
    process.kill(-group, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

/** Runs `work` on each of the items, so many at a time. */
export async function inParallel(items, count, work) {
  const waiting = [...items];
  const one = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: count }, one));
}

/** Why a program failed, in a line: its last words that speak of an error, or else its last words. */
export const reasonOf = ({ status, late, lines, errors }) => {
  if (late) return "it took longer than its time";
  const words = [...lines, ...errors].filter((line) => line.trim() !== "");
  const ofErrors = words.filter((line) => /error|failed/i.test(line) && !/^\s+at /.test(line));
  const said = (ofErrors.length > 0 ? ofErrors : words).slice(-3).join(" / ");
  return `exit status ${status}${said === "" ? "" : `: ${said}`}`.slice(0, 500);
};

/** Why a part that needs a GPU cannot run; null where it can. */
export const needsGpu = ({ device }) => (device === "cpu" ? "no GPU" : null);

/** Why a part cannot run for which these programs are needed; null where it can. */
export const needsTools =
  (...names) =>
  ({ tools }) => {
    const missing = names.filter((name) => !tools[name]);
    return missing.length === 0 ? null : `not there: ${missing.join(", ")}`;
  };
