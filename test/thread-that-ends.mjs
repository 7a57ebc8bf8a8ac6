// Worker threads that are ended while the addon works for them; the process must outlive that.
import { isMainThread, parentPort, Worker } from "node:worker_threads";

if (isMainThread) {
  for (let turn = 0; turn < 6; turn++) {
    const worker = new Worker(new URL(import.meta.url));
    await new Promise((resolve) => worker.once("message", resolve));
    await new Promise((resolve) => setTimeout(resolve, 30 * turn));
    await worker.terminate();
    await new Promise((resolve) => setTimeout(resolve, 300)); // the work goes on meanwhile
  }
  const { Tensor } = await import("../dist/native/tensor.js");
  const tensor = Tensor.from(new Float32Array([1, 2, 3]), [3]);
  process.stdout.write(String(await tensor.toArray()));
} else {
  const { Tensor } = await import("../dist/native/tensor.js");
  const { distanceTransform } = await import("../dist/native/volumes.js");
  const mask = Tensor.from(new Float32Array(96 ** 3).fill(1), [96, 96, 96]);
  for (let times = 0; times < 6; times++) void distanceTransform(mask, [1, 1, 1]).catch(() => {});
  parentPort?.postMessage("at work");
}
