// Measures what loading a checkpoint takes: seconds, and the peak of memory beyond that of the network itself.
//
//   node scripts/measure-checkpoint.mjs weights.pth
//
// The encoder is guessed from the file. Linux: the kernel's high-water mark of the process is reset before the load.
import { readFileSync, writeFileSync } from "node:fs";

const [path] = process.argv.slice(2);
if (path === undefined) {
  process.stderr.write("Expected the path of a checkpoint\n");
  process.exit(2);
}
const dist = (file) => import(new URL(`../dist/${file}`, import.meta.url).href);
const { openCheckpoint } = await dist("models/checkpoints/checkpoint-file.js");
const { guessArchitecture } = await dist("models/checkpoints/architecture.js");
const { bearsSigns } = await dist("models/checkpoints/matching.js");
const { keyMaps } = await dist("models/checkpoints/key-maps/index.js");
const { probeFeatures } = await dist("models/checkpoints/probe.js");
const { Network } = await dist("models/network.js");

const status = (field) =>
  1024 * Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(readFileSync("/proc/self/status", "utf8"))[1]);
const megabytes = (bytes) => Math.round(bytes / 1e6);

const file = await openCheckpoint(path);
const guess = keyMaps.filter((map) => bearsSigns(file, map)).map((map) => guessArchitecture(file, map))[0];
if (!guess) throw new Error(`${path} holds no encoder that is known`);
const network = await Network.create({ encoder: guess.encoder });
await probeFeatures(network); // what embedding itself takes is not loading

const seconds = async (work) => {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
};
const read = await seconds(() => file.sha256());
writeFileSync("/proc/self/clear_refs", "5");
const [before, anonymousBefore] = [status("VmRSS"), status("RssAnon")];
const cpuBefore = process.cpuUsage();
const loading = await seconds(() => network.loadCheckpoint(path, { fresh: true }));
const cpu = process.cpuUsage(cpuBefore);
process.stdout.write(
  `${JSON.stringify({
    format: file.format,
    megabytes: megabytes(file.bytes),
    largestTensorMegabytes: megabytes(
      Math.max(
        ...file.names.map((name) => file.info(name).shape.reduce((product, extent) => product * extent, 4)),
      ),
    ),
    hashSeconds: read,
    loadSeconds: loading,
    loadCpuSeconds: { user: cpu.user / 1e6, system: cpu.system / 1e6 },
    peakBeyondNetworkMegabytes: megabytes(status("VmHWM") - before),
    heldAfterMegabytes: megabytes(status("RssAnon") - anonymousBefore),
  })}\n`,
);
network.dispose();
