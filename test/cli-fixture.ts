import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { nrrdOf } from "./nrrd-fixture.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface Finished {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Starts the command line in a process of its own, as a shell does. */
export function startCli(args: string[], environment: NodeJS.ProcessEnv = process.env) {
  const child = spawn(process.execPath, [main, ...args], {
    env: environment,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      texts[name] += chunk;
    });
  }
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, ...texts }));
  });
  return { child: child as ChildProcess, texts, finished };
}

export const cli = (...args: string[]): Promise<Finished> => startCli(args).finished;

/** A safetensors file made by hand: float32 tensors, row-major. */
export function writeFloats(
  path: string,
  tensors: Record<string, { shape: number[]; data: number[] }>,
): void {
  let offset = 0;
  const header: Record<string, unknown> = {};
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + 4 * data.length] };
    offset += 4 * data.length;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = Buffer.from(Float32Array.from(Object.values(tensors).flatMap((tensor) => tensor.data)).buffer);
  writeFileSync(path, Buffer.concat([length, json, data]));
}

/** An NRRD of 4 x 3 x 2 voxels (i, j, k), 0 to 23, of 1 x 2 x 3 mm. */
export const writeSmallImage = (path: string): void =>
  writeFileSync(
    path,
    nrrdOf(
      [4, 3, 2],
      [1, 2, 3],
      Int16Array.from({ length: 24 }, (_, index) => index),
    ),
  );

/** Every command. */
export const commands = [
  "demo",
  "run",
  "plan",
  "prepare",
  "cell",
  "collect",
  "status",
  "cancel",
  "check",
  "forecast",
  "report",
  "pretrain",
  "embed",
  "align",
  "inspect",
  "simulate",
  "doctor",
  "bench",
];

/** A study file of one small model and one task, beside a cohort; `more` are its further lines. */
export const smallStudy = (...more: string[]): string => `name: small
cohort: { manifest: cohort/manifest.csv, voxels: [16, 16, 16] }
split: { train: 2, validation: 1, test: 1 }
models:
  - name: profound
    encoder: { family: convnext-v2-3d, channels: 3, depths: [1, 1, 1, 1], dims: [4, 4, 8, 8] }
    pretrain: { epochs: 1, decoderDim: 8 }
    decoder: { kind: upernet, hidden: 4, auxiliary: 4 }
tasks: [lesion-segmentation]
untrainedHead: random
${more.join("\n")}
`;
