import { mkdir } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { TransferLimitsError } from "../../common/errors.js";
import { packageVersion } from "../../common/package-version.js";
import { readSealedJson, writeSealedJson } from "../../common/sealed-json.js";
import { cacheFolder } from "../../native/libtorch/lock.js";
import { buildInfo } from "../../native/runtime.js";
import type { Study } from "../config/schema.js";
import { type MeasuredRates, measureRates } from "./time-measure.js";
import { threadsOf } from "./time-model.js";
import { assumedRates, publishedRates, type Rates } from "./time-rates.js";

const speed = z.object({ forward: z.number().positive(), backward: z.number().positive() });
const curve = z.array(z.object({ at: z.number().positive(), speed })).min(1);
const ratesSchema = z.object({
  convolution: curve,
  product: curve,
  depthwise: speed,
  pass: curve,
  call: speed,
});
const keptSchema = z.object({
  processor: z.string(),
  threads: z.int().min(1),
  version: z.string(),
  libtorch: z.string(),
  rates: ratesSchema,
});

/** Seconds that the process of a cell takes until it works. */
const startSeconds = 1;

/** The folder in which what was measured of this machine is kept. */
export const calibrationFolder = (): string => join(cacheFolder(), "calibration");

/**
 * The rates of the device that a study runs on: of a CPU measured here, once for each number of threads, and of a GPU as
 * published. A file of before that is damaged, or of another processor or version, is measured anew.
 *
 * @param measure how a CPU is measured, in place of what does so
 */
export async function ratesFor(
  study: Pick<Study, "execution">,
  folder: string = calibrationFolder(),
  measure: (threads: number) => Promise<MeasuredRates> = measureRates,
): Promise<Rates> {
  const { device, devices = [device], precision } = study.execution;
  const [first = device] = devices;
  if (first !== "cpu") return publishedRates(nameOf(first), precision);
  const threads = threadsOf(study);
  const words = `${processor()} with ${threads} thread${threads === 1 ? "" : "s"}`;
  try {
    const rates = await keptOrMeasured(threads, folder, measure);
    return { device: words, source: "measured", ...rates, start: startSeconds };
  } catch (error) {
    // Without LibTorch nothing can be measured, and a plan is worth having all the same.
    if (error instanceof TransferLimitsError && error.code === "LIBTORCH_MISSING")
      return assumedRates(words, threads, startSeconds);
    throw error;
  }
}

const processor = (): string => cpus()[0]?.model.trim() || "a CPU";

/** A GPU as its driver calls it; null where it is not here. */
function nameOf(device: string): string | null {
  try {
    const id = device === "cuda" ? "cuda:0" : device;
    return buildInfo().devices.find((one) => one.id === id)?.name ?? null;
  } catch {
    return null;
  }
}

async function keptOrMeasured(
  threads: number,
  folder: string,
  measure: (threads: number) => Promise<MeasuredRates>,
): Promise<MeasuredRates> {
  const of = {
    processor: processor(),
    threads,
    version: packageVersion,
    libtorch: `${buildInfo().libtorch} ${buildInfo().cpuCapability}`,
  };
  const path = join(folder, `cpu-${threads}.json`);
  const found = await readSealedJson(path).catch(() => ({ state: "absent" }) as const);
  if (found.state === "sound") {
    const kept = keptSchema.safeParse(found.value).data;
    const isOfThis =
      kept && Object.entries(of).every(([key, value]) => kept[key as keyof typeof of] === value);
    if (isOfThis) return kept.rates;
  }
  const rates = await measure(threads);
  // Where nothing can be written, it is measured each time.
  await mkdir(folder, { recursive: true })
    .then(() => writeSealedJson(path, { ...of, rates }))
    .catch(() => {});
  return rates;
}
