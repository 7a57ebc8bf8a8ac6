import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, it } from "vitest";
import { kernelSums } from "../dist/native/kernels.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { Tensor } from "../dist/native/tensor.js";

describe("a tensor", () => {
  afterEach(() => expect(Tensor.live).toBe(0));

  it.each([
    ["float32", Float32Array.of(1.5, -2, 3e38)],
    ["float64", Float64Array.of(Math.PI, -0, 1e300)],
    ["int64", BigInt64Array.of(1n, -(2n ** 63n), 2n ** 62n)],
    ["uint8", Uint8Array.of(0, 255, 7)],
  ])("of %s gives back what it was made from", async (dtype, data) => {
    using tensor = Tensor.from(data, [3, 1]);
    expect([tensor.dtype, tensor.shape, tensor.device]).toEqual([dtype, [3, 1], "cpu"]);
    expect(await tensor.toArray()).toEqual(data);
  });

  it("copies: later changes of the array do not reach it, nor do changes of what it gave back", async () => {
    const data = Float32Array.of(1, 2);
    using tensor = Tensor.from(data, [2]);
    data[0] = 9;
    const first = (await tensor.toArray()) as Float32Array;
    first[1] = 9;
    expect(await tensor.toArray()).toEqual(Float32Array.of(1, 2));
  });

  it("shares the memory of an array that came out of a tensor where that is asked for", async () => {
    using source = Tensor.from(Float32Array.of(1, 2, 3, 4), [4]);
    const data = (await source.toArray()) as Float32Array;
    using shared = Tensor.sharing(data, [2, 2]);
    data[0] = 9;
    expect(shared.shape).toEqual([2, 2]);
    expect(await shared.toArray()).toEqual(Float32Array.of(9, 2, 3, 4));
    expect(await source.toArray()).toEqual(Float32Array.of(1, 2, 3, 4));
    expect(() => Tensor.sharing(data, [5])).toThrow("5 elements");
  });

  it("copies nevertheless what is a part of such an array, is a clone of one, or is anybody's", async () => {
    using source = Tensor.from(Float32Array.of(1, 2, 3, 4), [4]);
    const data = (await source.toArray()) as Float32Array;
    const clone = structuredClone(data);
    for (const array of [data.subarray(0, 2), data.subarray(1), clone, new Float32Array(3)]) {
      const before = Float32Array.from(array);
      using tensor = Tensor.sharing(array, [array.length]);
      array[0] = 9;
      expect(await tensor.toArray()).toEqual(before);
    }
  });

  it("may be empty, a scalar, or a view of a larger buffer", async () => {
    using empty = Tensor.from(new Float32Array(0), [0, 3]);
    expect(await empty.toArray()).toEqual(new Float32Array(0));
    using scalar = Tensor.from(Float64Array.of(4), []);
    expect(await scalar.toArray()).toEqual(Float64Array.of(4));
    using view = Tensor.from(Float32Array.of(1, 2, 3, 4).subarray(1, 3), [2]);
    expect(await view.toArray()).toEqual(Float32Array.of(2, 3));
  });

  it("gathers rows of a bank in the order asked for, repeats included", async () => {
    using a = Tensor.from(Float32Array.of(1, 2), [2]);
    using b = Tensor.from(Float32Array.of(3, 4), [2]);
    using both = await Tensor.gather([a, b], [1, 0, 1]);
    expect(both.shape).toEqual([3, 2]);
    expect(await both.toArray()).toEqual(Float32Array.of(3, 4, 1, 2, 3, 4));
  });

  it("is counted until it is disposed, once", () => {
    const tensor = Tensor.from(new Float32Array(2), [2]);
    expect(Tensor.live).toBe(1);
    tensor.dispose();
    tensor.dispose();
    expect([Tensor.live, tensor.disposed]).toEqual([0, true]);
  });

  it("says that it is gone when it is used after dispose", async () => {
    const tensor = Tensor.from(new Float32Array(6), [2, 3]);
    tensor.dispose();
    await expect(tensor.toArray()).rejects.toMatchObject({
      code: "DISPOSED",
      message: "The tensor tensor [2, 3] was disposed before this call",
    });
  });

  it("is not needed any more once work was queued with it", async () => {
    const tensor = Tensor.from(Float32Array.of(1, 2), [2]);
    const array = tensor.toArray();
    tensor.dispose();
    expect(await array).toEqual(Float32Array.of(1, 2));
  });

  it.each([
    [
      () => Tensor.from(new Float32Array(5), [2, 3]),
      /Expected 6 elements, the product of the shape \[2, 3\], for data but received 5/,
    ],
    [() => Tensor.from([1, 2] as never, [2]), /Expected a Float32Array.* for data but received \[1, 2\]/],
    [
      () => Tensor.from(new Float32Array(2), [-2] as never),
      /whole numbers >= 0 for shape but received \[-2\]/,
    ],
    [
      () => Tensor.from(new Float32Array(2), [2], "tpu"),
      /Expected cpu, cuda or cuda:<number> for device but received tpu/,
    ],
  ])("refuses bad arguments with what was expected and what came (%#)", (make, message) => {
    expect(make).toThrow(message);
    try {
      make();
    } catch (error) {
      expect((error as { code: string }).code).toBe("BAD_INPUT");
    }
  });

  it("is not confused with another handle", async () => {
    using network = await PlacedNetwork.build({
      model: { family: "unet-3d", channels: 1, outputs: 1, features: 2, levels: 2 },
    });
    const impostor = new Tensor(network.handle as never);
    await expect(impostor.toArray()).rejects.toMatchObject({ code: "BAD_INPUT" });
  });
});

describe("native work", () => {
  it("stops when its signal is aborted", async () => {
    const random = Float32Array.from({ length: 6000 * 256 }, () => Math.random());
    using a = Tensor.from(random, [6000, 256]);
    const controller = new AbortController();
    const work = kernelSums(a, a, [1, 2, 3, 4], { signal: controller.signal });
    setTimeout(() => controller.abort(), 20);
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
  });

  it("leaves JavaScript running meanwhile", async () => {
    using a = Tensor.from(
      Float32Array.from({ length: 1500 * 256 }, () => Math.random()),
      [1500, 256],
    );
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await kernelSums(a, a, [1]);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
  });

  it("rejects with an error whose stack leads to the caller", async () => {
    async function researcherCode() {
      using network = await PlacedNetwork.build({
        model: { family: "unet-3d", channels: 1, outputs: 1, features: 2, levels: 2 },
      });
      using x = Tensor.from(new Float32Array(16), [1, 2, 2, 2, 2]);
      await network.forward(x);
    }
    const error = await researcherCode().then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect(error?.message).toMatch(
      /Expected an input \[N, 1, D, H, W\] for the U-Net but received \[1, 2, 2, 2, 2\]/,
    );
    expect(error?.stack).toContain("researcherCode");
  });

  it("survives the end of a worker thread that still waits for it", async () => {
    const source = `
      const { Tensor } = await import(${JSON.stringify(new URL("../dist/native/tensor.js", import.meta.url).href)});
      const { kernelSums } = await import(${JSON.stringify(new URL("../dist/native/kernels.js", import.meta.url).href)});
      const { parentPort } = await import("node:worker_threads");
      const a = Tensor.from(new Float32Array(2000 * 64), [2000, 64]);
      kernelSums(a, a, [1]).catch(() => {});
      parentPort.postMessage("queued");`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`));
    await new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    await worker.terminate();
    using after = Tensor.from(Float32Array.of(5), [1]);
    expect(await after.toArray()).toEqual(Float32Array.of(5)); // the executor still serves this thread
  });
});
