import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Network } from "../dist/models/network.js";
import { cli } from "./cli-fixture.js";
import { stateOf, writeForeign } from "./foreign-weights.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-limits-misfits-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("inspect of weights that nearly fit their encoder", () => {
  it("names the tensor that does not fit and the one that is missing, beside the share that fits", async () => {
    const path = join(folder, "nearly.pth");
    const [odd, absent] = ["stages.2.1.dwconv.bias", "stages.3.0.norm.bias"];
    using network = await Network.create({ encoder: "profound-demo", seed: 1 });
    const state = await stateOf(network);
    expect([...state.keys()]).toEqual(expect.arrayContaining([odd, absent]));
    await writeForeign(path, state, (name, { shape, values }) =>
      name === odd
        ? [`encoder.${name}`, [shape[0] + 3], new Array(shape[0] + 3).fill(0)]
        : [name === absent ? "else" : `encoder.${name}`, shape, values],
    );
    const [best] = JSON.parse((await cli("inspect", path, "--json")).stdout).keyMaps;
    // profound-demo has 64 features in its third stage.
    expect(best.misfits).toEqual([{ from: `encoder.${odd}`, shape: [67], parameter: odd, expected: [64] }]);
    expect(best.missing).toEqual([absent]);
    expect(best.coverage).toBeLessThan(1);
    const { stdout } = await cli("inspect", path);
    expect(stdout).toMatch(/99\.\d % of the encoder/);
    expect(stdout).toContain(`does not fit encoder.${odd}, 67, is no ${odd}, 64`);
    expect(stdout).toMatch(new RegExp(`missing +${absent}`));
  });
});
