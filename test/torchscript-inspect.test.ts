import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { inspectScript } from "../dist/models/checkpoints/script-archive.js";
import { moduleFile, modules } from "./torchscript-fixture.js";

const run = promisify(execFile);
const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

describe("inspect tells what a TorchScript file is without running it", () => {
  it("a traced one: methods, the shape of its example, parameters and buffers as PyTorch has them", async () => {
    const found = await inspectScript(moduleFile("small-traced"));
    expect(found).toMatchObject({
      kind: "torchscript",
      sha256: modules["small-traced"]?.sha256,
      module: "Small",
      made: "traced",
      example: [[1, 1, 8, 8, 8]],
      methods: ["forward(x: Tensor) -> Tensor"],
      // Convolutions 3x3x3 from 1 to 4 and from 4 to 8 channels with biases, two norms, a scale.
      parameters: 27 * 4 + 4 + 27 * 32 + 8 + 2 * 4 + 2 * 8 + 8,
    });
    expect(found?.tensors.map(({ name }) => name).sort()).toEqual(
      [...(modules["small-scripted"]?.names ?? [])].sort(),
    );
    expect(found?.tensors.flatMap(({ name, buffer }) => (buffer ? [name] : []))).toEqual([
      "norm1.running_mean",
      "norm1.running_var",
      "norm1.num_batches_tracked",
    ]);
    expect(found?.tensors.find(({ name }) => name === "conv2.weight")?.shape).toEqual([8, 4, 3, 3, 3]);
  });

  it("a scripted one, one of bfloat16, and one that was frozen", async () => {
    expect(await inspectScript(moduleFile("pyramid"))).toMatchObject({
      made: "scripted",
      example: null,
      methods: ["forward(x: Tensor) -> List[Tensor]"],
      parameters: 4404,
    });
    expect((await inspectScript(moduleFile("small-bfloat16")))?.tensors[0]?.dtype).toBe("bfloat16");
    expect(await inspectScript(moduleFile("small-frozen"))).toMatchObject({ parameters: 0, tensors: [] });
  });

  it("from the command line, for a person and as JSON", async () => {
    const { stdout } = await run(process.execPath, [program, "inspect", moduleFile("small-traced")]);
    for (const words of [
      "TorchScript",
      "nothing was run",
      modules["small-traced"]?.sha256,
      "1 x 1 x 8 x 8 x 8",
      "conv2.weight",
    ])
      expect(stdout).toContain(words);
    const json = await run(process.execPath, [program, "inspect", moduleFile("small-frozen"), "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ kind: "torchscript", parameters: 0 });
  });

  it("leaves other files to others, and refuses a damaged one", async () => {
    const folder = await mkdtemp(join(tmpdir(), "torchscript-inspect-"));
    try {
      const other = join(folder, "other.pt");
      await writeFile(other, "no zip file");
      expect(await inspectScript(other)).toBeNull();
      const cut = join(folder, "cut.pt");
      await writeFile(cut, (await readFile(moduleFile("pyramid"))).subarray(0, 9000));
      await expect(inspectScript(cut)).rejects.toMatchObject({ code: "BAD_CHECKPOINT" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
