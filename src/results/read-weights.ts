import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { messageOf } from "../common/errors.js";
import { readRegularText } from "../common/regular-file.js";
import { text } from "./fields.js";
import { unsealed } from "./unsealed.js";

const count = z.number().int().nonnegative();

/** Of a load report (`src/models/checkpoints/load-report.ts`), what the page shows. */
const loadReportSchema = z.object({
  format: z.literal("transfer-limits/load-report@1"),
  file: z.object({ path: text, format: text, bytes: count, sha256: text, state: text, prefix: text }),
  keyMap: z.object({ name: text, title: text, chosen: z.enum(["named", "detected", "nearest"]) }),
  coverage: z.object({ encoder: z.number(), encoderTensors: z.number(), network: z.number() }),
  loaded: z.array(z.object({ name: text, change: text.nullable() })),
  missing: z.array(z.object({ name: text, expected: z.boolean() })),
  leftOver: z.array(z.object({ name: text })),
  modules: z.array(
    z.object({ name: text, tensors: count, loaded: count, parameters: count, parametersLoaded: count }),
  ),
  embedding: z.object({ change: z.number().nullable(), before: text }).nullable(),
  orientation: z.object({ verdict: text, words: text }),
  warnings: z.array(text),
  refusal: text.nullable(),
});

/** What happened to the weights that a model of the study brought. */
export interface LoadedWeights {
  model: string;
  /** The report's file, relative to the study's folder. */
  file: string;
  report: z.infer<typeof loadReportSchema>;
}

/** The load reports in a study's folder, by model. What cannot be read is told in `problems`. */
export async function readLoadedWeights(folder: string, problems: string[]): Promise<LoadedWeights[]> {
  const names = await readdir(join(folder, "weights")).catch(() => []);
  const found: LoadedWeights[] = [];
  for (const name of names.filter((entry) => entry.endsWith(".json")).sort()) {
    const file = `weights/${name}`;
    try {
      const report = loadReportSchema.parse(unsealed(file, await readRegularText(join(folder, file))));
      found.push({ model: name.slice(0, -".json".length), file, report });
    } catch (error) {
      problems.push(`${file} cannot be read: ${messageOf(error).replaceAll(`${folder}/`, "")}`);
    }
  }
  return found;
}
