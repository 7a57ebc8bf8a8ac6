import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { inspectScript } from "../dist/models/checkpoints/script-archive.js";
import { Network } from "../dist/models/network.js";
import type { TorchScriptSpec } from "../dist/native/network-spec.js";
import { Tensor } from "../dist/native/tensor.js";

const named = process.env.TRANSFER_LIMITS_PYTHON_TORCH ?? "python3";
const python = named === "1" ? "python3" : named;
const folder = mkdtempSync(join(tmpdir(), "torchscript-exports-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const has = (packages: string): boolean =>
  named !== "0" && spawnSync(python, ["-c", `import ${packages}`], { timeout: 240_000 }).status === 0;

/** The lines of docs/encoders.md that write `file`, without those that load weights, and with smaller sizes. */
function linesFor(file: string, smaller: readonly (readonly [string, string])[]): string {
  const page = readFileSync(new URL("../docs/encoders.md", import.meta.url), "utf8");
  const blocks = [...page.matchAll(/```python\n(.*?)```/gs)].map(([, lines = ""]) => lines);
  let code = blocks.find((lines) => lines.includes(`save("${file}")`)) ?? "";
  for (const [documented, here] of smaller) {
    expect(code).toContain(documented);
    code = code.replaceAll(documented, here);
  }
  return code
    .split("\n")
    .filter((line) => !line.endsWith("# your weights"))
    .join("\n");
}

/** Runs the lines, and answers with what PyTorch makes of a volume whose voxels are sin(i / 10). */
function exported(code: string, file: string, encoder: string, shape: readonly number[]): number[] {
  const program = `
import warnings
warnings.filterwarnings("ignore")
${code}
import json, math
shape = ${JSON.stringify(shape)}
x = torch.sin(torch.arange(math.prod(shape), dtype=torch.float64) / 10).float().reshape(shape)
with torch.no_grad():
    answer = ${encoder}.eval()(x)
answer = answer if torch.is_tensor(answer) else answer[-1].mean((2, 3, 4))
print("ANSWER" + json.dumps(answer.flatten().tolist()))
`;
  const { stdout, stderr, status } = spawnSync(python, ["-c", program], { cwd: folder, encoding: "utf8" });
  expect(status, stderr).toBe(0);
  expect(readFileSync(join(folder, file)).length).toBeGreaterThan(1000);
  return JSON.parse(stdout.slice(stdout.indexOf("ANSWER") + 6)) as number[];
}

/** What a trusted encoder from that file makes of the same volume, and how far a decoder on it answers. */
async function answered(file: string, spec: Partial<TorchScriptSpec>, shape: number[]): Promise<number[]> {
  const path = join(folder, file);
  const encoder = {
    family: "torchscript",
    file: path,
    sha256: createHash("sha256").update(readFileSync(path)).digest("hex"),
    trust: true,
    input: "volume",
    ...spec,
  } as TorchScriptSpec;
  expect((await inspectScript(path))?.sha256).toBe(encoder.sha256);
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i / 10));
  const volume = spec.input === "slices" ? ([1, shape[1], 1, shape[2], shape[3]] as number[]) : shape;
  using input = Tensor.from(values, volume);
  if (encoder.stages) {
    using network = await Network.create({ encoder, head: { kind: "unetr", outputs: 1, featureSize: 2 } });
    using answer = await network.forward(input);
    expect(answer.shape).toEqual([1, 1, ...volume.slice(2)]);
  }
  using network = await Network.create({ encoder });
  using features = await network.embed(input);
  return Array.from((await features.pooled.toArray()) as Float32Array);
}

const close = (a: readonly number[], b: readonly number[]) => {
  expect(a).toHaveLength(b.length);
  for (const [index, value] of a.entries()) expect(Math.abs(value - (b[index] as number))).toBeLessThan(1e-4);
};

describe("the lines of docs/encoders.md export what is then answered as in PyTorch", () => {
  it.skipIf(!has("torch, monai"))(
    "Swin UNETR of MONAI",
    async () => {
      const file = "swin-unetr.pt";
      const code = linesFor(file, [
        ["feature_size=48", "feature_size=12, depths=(1, 1, 1, 1)"],
        ["2, 1, 96, 224, 224", "2, 1, 64, 64, 64"],
      ]);
      const shape = [1, 1, 64, 64, 64];
      const expected = exported(code, file, "encoder", shape);
      const stages = [2, 4, 8, 16, 32].map((stride, index) => ({ channels: 12 * 2 ** index, stride }));
      close(await answered(file, { channels: 1, features: 192, stages }, shape), expected);
    },
    600_000,
  );

  it.skipIf(!has("torch, timm"))(
    "a vision transformer of timm",
    async () => {
      const file = "vit-small.pt";
      const code = linesFor(file, [
        ["pretrained=True", "pretrained=False, depth=2"],
        ["img_size=224", "img_size=32"],
        ["2, 3, 224, 224", "2, 3, 32, 32"],
      ]);
      const shape = [1, 3, 32, 32];
      const expected = exported(code, file, "model", shape);
      close(await answered(file, { channels: 3, features: 384, input: "slices" }, shape), expected);
    },
    600_000,
  );

  it.skipIf(!has("torch, dynamic_network_architectures"))(
    "the residual encoder of nnU-Net, at another size than that of its example",
    async () => {
      const file = "resenc.pt";
      const code = linesFor(file, [
        ["[32, 64, 128, 256, 320, 320]", "[4, 8, 8, 8, 16, 16]"],
        ["[1, 3, 4, 6, 6, 6]", "[1, 1, 1, 1, 1, 1]"],
      ]);
      const shape = [1, 1, 32, 64, 64];
      const expected = exported(code, file, "model.encoder", shape);
      const stages = [4, 8, 8, 8, 16, 16].map((channels, index) => ({ channels, stride: 2 ** index }));
      close(await answered(file, { channels: 1, features: 16, stages }, shape), expected);
    },
    600_000,
  );
});
