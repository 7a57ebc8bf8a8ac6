import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, it } from "vitest";
import { setThreads } from "../dist/native/runtime.js";
import { differences, trainedOn } from "../scripts/ranks-check/rank-process.mjs";
import { type Setting, startRanks } from "../scripts/ranks-check/start-ranks.mjs";

setThreads(1);

const convNeXt = {
  family: "convnext-v2-3d",
  channels: 2,
  depths: [1, 1, 2, 1],
  dims: [8, 8, 16, 16],
  dropPath: 0.4,
} as const;
const size = [16, 16, 16];
const segmentation: Setting = {
  name: "",
  dtype: "float64",
  spec: {
    encoder: { ...convNeXt, depths: [...convNeXt.depths], dims: [...convNeXt.dims] },
    head: { kind: "upernet", outputs: 1, hidden: 8, auxiliary: 8 },
  },
  trained: "full",
  input: [2, ...size],
  target: { kind: "mask", shape: [1, ...size] },
  batches: Array(20).fill(4),
  options: { loss: { kind: "tversky", alpha: 0.3, beta: 0.7 } },
};

const settings: Setting[] = [
  { ...segmentation, name: "as they are, with stochastic depth" },
  {
    ...segmentation,
    name: "with micro-batches and gradients that are clipped",
    options: { ...segmentation.options, microBatch: 1, gradientClip: 0.05 },
  },
  {
    ...segmentation,
    name: "with blocks that are computed once more",
    options: { ...segmentation.options, checkpointing: true, microBatch: 2 },
  },
  {
    ...segmentation,
    name: "where batches do not divide evenly, or one rank has none",
    batches: [3, 4, 1, 2, 5, 3, 1, 4, 3, 1, 3, 4, 1, 2, 5, 3, 1, 4, 3, 1],
  },
];

it("two processes that train together take the steps of one, up to rounding", async () => {
  const [first, second] = await startRanks(2, settings);
  const [told, others] = await Promise.all([first?.told(), second?.told()]);
  for (const [index, setting] of settings.entries()) {
    expect(told?.[index], setting.name).not.toHaveProperty("error");
    expect(others?.[index]?.checksum, `${setting.name}: both ranks hold the same`).toBe(
      told?.[index]?.checksum,
    );
    const alone = await trainedOn(setting);
    const together = told?.[index]?.result as typeof alone;
    const report = differences(together, alone);
    for (const [what, distance] of Object.entries(report))
      expect(distance, `${setting.name}: ${what}`).toBeLessThan(1e-6);
  }
}, 300_000);

it("processes find each other by a server that rank 0 is, too", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const setting = { ...segmentation, batches: [2] };
  const told = await Promise.all((await startRanks(3, [setting], { port })).map((rank) => rank.told()));
  expect(told.flat().map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
  expect(new Set(told.flat().map(({ checksum }) => checksum)).size).toBe(1);
}, 300_000);

it("micro-batches of one process drop the paths that stochastic depth drops of the whole batch", async () => {
  const whole = await trainedOn({ ...segmentation, batches: [4, 4, 4] });
  const parts = await trainedOn({
    ...segmentation,
    batches: [4, 4, 4],
    options: { ...segmentation.options, microBatch: 1 },
  });
  for (const distance of Object.values(differences(parts, whole))) expect(distance).toBeLessThan(1e-5);
});
