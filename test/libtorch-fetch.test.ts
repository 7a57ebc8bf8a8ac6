import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { type FetchEvent, fetchLibTorch } from "../dist/native/libtorch/fetch.js";
import { lockOf, readLock, type WheelLock } from "../dist/native/libtorch/lock.js";
import { emptyLibrary, libTorchFiles, makeWheel, temporaryFolder, writeFiles } from "./libtorch-fixture.js";

/**
 * A LibTorch as two small wheels in a folder that the real pip takes for its index, the lock that names them, and an
 * empty cache.
 */
function offlineIndex() {
  const folder = temporaryFolder();
  const index = join(folder, "index");
  const prefixed = Object.fromEntries(
    Object.entries({ ...libTorchFiles("2.14.1"), "share/cmake/TorchConfig.cmake": "" }).map(
      ([path, text]) => [`torch/${path}`, text],
    ),
  );
  const torch = makeWheel(index, "torch", "2.14.1", "cp312-cp312-manylinux_2_28_x86_64", {
    ...prefixed,
    "torch/__init__.py": "raise SystemExit",
  });
  const runtime = makeWheel(index, "nvidia_cuda_runtime", "13.0.96", "py3-none-manylinux_2_17_x86_64", {
    "nvidia/cu13/lib/libcudart.so.13": emptyLibrary("cudart"),
  });
  const lock: WheelLock = {
    ...readLock(),
    unpackedBytes: { always: 1 },
    wheels: [
      {
        ...locked(torch),
        unpack: ["lib/", "include/", "share/"].map((part) => ({ from: `torch/${part}`, to: part })),
      },
      {
        ...locked(runtime),
        unpack: [{ from: "nvidia/cu13/lib/libcudart.so.13", to: "lib/libcudart.so.13" }],
      },
    ],
  };
  const cache = join(folder, "cache", "transfer-limits");
  const environment = {
    ...process.env,
    LIBTORCH: "",
    XDG_CACHE_HOME: join(folder, "cache"),
    PIP_NO_INDEX: "1",
    PIP_FIND_LINKS: index,
    PIP_CONFIG_FILE: "/dev/null",
  };
  return { index, lock, cache, environment, torch, target: join(cache, "libtorch-2.14.1") };
}

const locked = ({ name, version, sha256, bytes }: ReturnType<typeof makeWheel>) => ({
  name,
  version,
  sha256,
  bytes,
});

/** What a fetch leaves in a cache, beside the lock that nobody holds any more. */
const kept = (cache: string): string[] =>
  readdirSync(cache)
    .filter((name) => name !== "libtorch-2.14.1.lock")
    .sort();

describe("fetching LibTorch", () => {
  it("brings the locked wheels by pip, unpacks what is needed of them, and keeps no wheel", async () => {
    const { lock, cache, environment, target } = offlineIndex();
    const events: FetchEvent[] = [];
    const found = await fetchLibTorch({ lock, environment, onProgress: (event) => events.push(event) });

    expect(found).toMatchObject({ folder: target, version: "2.14.1", flavour: "cu130" });
    expect(readdirSync(target).sort()).toEqual(["build-version", "include", "lib", "share"]);
    expect(readdirSync(join(target, "lib")).sort()).toEqual([
      "libc10.so",
      "libcudart.so.13",
      "libtorch_cpu.so",
    ]);
    expect(readFileSync(join(target, "build-version"), "utf8")).toBe("2.14.1+cu130\n");
    expect(kept(cache)).toEqual(["downloads", "libtorch-2.14.1"]);
    expect(readdirSync(join(cache, "downloads"))).toEqual([]);
    const whole = events.filter((event) => event.kind !== "download" || event.bytes === event.total);
    expect(whole.map(({ kind }) => kind)).toEqual(["download", "download", "unpack", "unpack", "done"]);
  });

  it("does nothing where the cache is filled: it asks neither Python nor pip", async () => {
    const { lock, environment, target } = offlineIndex();
    writeFiles(target, {
      ...libTorchFiles("2.14.1"),
      "share/x": "",
      "lib/libcudart.so.13": emptyLibrary("cudart"),
    });
    const events: FetchEvent[] = [];
    await fetchLibTorch({
      lock,
      environment: { ...environment, PATH: "" },
      onProgress: (event) => events.push(event),
    });
    expect(events).toEqual([{ kind: "done", name: "LibTorch", folder: target }]);
  });

  it("adds what a LibTorch that an older version fetched lacks, and leaves the rest as it is", async () => {
    const { lock, cache, environment, torch, target } = offlineIndex();
    writeFiles(target, {
      ...libTorchFiles("2.14.1"),
      "share/x": "",
      "lib/libc10.so": emptyLibrary("of long ago"),
    });
    await fetchLibTorch({ lock, environment: makeIndexWithout(torch.path, environment) });

    expect(readFileSync(join(target, "lib", "libcudart.so.13"), "utf8")).toBe(emptyLibrary("cudart"));
    expect(readFileSync(join(target, "lib", "libc10.so"), "utf8")).toBe(emptyLibrary("of long ago"));
    expect(kept(cache)).toEqual(["downloads", "libtorch-2.14.1"]);
  });

  it("refuses a wheel that is not the locked one, and leaves nothing of it", async () => {
    const { lock, cache, environment, torch } = offlineIndex();
    const bytes = readFileSync(torch.path);
    bytes[100] = (bytes[100] as number) ^ 1;
    writeFileSync(torch.path, bytes);

    await expect(fetchLibTorch({ lock, environment })).rejects.toMatchObject({
      code: "LIBTORCH_MISSING",
      message: expect.stringMatching(/could not download torch 2\.14\.1[\s\S]*hash/i),
    });
    expect(kept(cache)).toEqual(["downloads"]);
    expect(readdirSync(join(cache, "downloads"))).toEqual([]);
  });

  it("goes on with a wheel that an interrupted fetch had finished, and replaces one that was spoilt", async () => {
    const { lock, cache, environment, torch, target } = offlineIndex();
    const stored = join(cache, "downloads", `torch-2.14.1-${torch.sha256.slice(0, 16)}.whl`);
    mkdirSync(join(cache, "downloads"), { recursive: true });
    writeFileSync(stored, readFileSync(torch.path));
    const withoutTorch = makeIndexWithout(torch.path, environment);
    await fetchLibTorch({ lock, environment: withoutTorch });
    expect(existsSync(join(target, "lib", "libtorch_cpu.so"))).toBe(true);

    const other = offlineIndex();
    const spoilt = join(other.cache, "downloads", `torch-2.14.1-${other.torch.sha256.slice(0, 16)}.whl`);
    mkdirSync(join(other.cache, "downloads"), { recursive: true });
    writeFileSync(spoilt, "half of a wheel");
    await fetchLibTorch(other);
    expect(readFileSync(join(other.target, "lib", "libc10.so"), "utf8")).toBe(emptyLibrary("c10"));
  });

  it("lets one of several at once work, and the others wait for it", async () => {
    const { lock, environment, target } = offlineIndex();
    const events: FetchEvent[] = [];
    const fetches = [1, 2, 3].map(() =>
      fetchLibTorch({ lock, environment, onProgress: (event) => events.push(event) }),
    );
    for (const found of await Promise.all(fetches)) expect(found.folder).toBe(target);
    const kinds = events.map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind === "unpack")).toHaveLength(2);
    expect(kinds.filter((kind) => kind === "waiting")).toHaveLength(2);
  });

  it("takes over the lock of a process that died", async () => {
    const { lock, cache, environment, target } = offlineIndex();
    mkdirSync(`${target}.lock`, { recursive: true });
    const longAgo = new Date(Date.now() - 120_000);
    utimesSync(`${target}.lock`, longAgo, longAgo);
    await fetchLibTorch({ lock, environment });
    expect(kept(cache)).toEqual(["downloads", "libtorch-2.14.1"]);
  });

  it("says what is missing where there is no Python", async () => {
    const { lock, environment } = offlineIndex();
    await expect(
      fetchLibTorch({ lock, environment: { ...environment, PATH: "/nowhere" } }),
    ).rejects.toMatchObject({
      code: "LIBTORCH_MISSING",
      message: expect.stringMatching(/python3 could not be started[\s\S]*Install Python 3 with pip/),
    });
  });

  it("says what failed where pip finds no such wheel, and that what was finished is kept", async () => {
    const { lock, cache, environment } = offlineIndex();
    await expect(
      fetchLibTorch({ lock, environment: { ...environment, PIP_FIND_LINKS: temporaryFolder() } }),
    ).rejects.toMatchObject({
      code: "LIBTORCH_MISSING",
      message: expect.stringMatching(/pip could not download torch 2\.14\.1[\s\S]*Check the network/),
    });
    expect(kept(cache)).toEqual(["downloads"]);
  });

  it("brings the CUDA part only where it is wanted, later too, and asks for no space for what it does not bring", async () => {
    const { lock, environment, target } = offlineIndex();
    const [torch, runtime] = lock.wheels as [WheelLock["wheels"][0], WheelLock["wheels"][0]];
    const parted: WheelLock = {
      ...lock,
      unpackedBytes: { always: 1, gpu: 1e18 },
      wheels: [
        {
          ...torch,
          unpack: torch.unpack.map((rule) => ({ ...rule, part: rule.to === "share/" ? "cuda" : undefined })),
        },
        { ...runtime, unpack: runtime.unpack.map((rule) => ({ ...rule, part: "gpu" })) },
      ],
    };
    await fetchLibTorch({ lock: parted, environment, parts: [] });
    expect(readdirSync(target).sort()).toEqual(["build-version", "include", "lib"]);
    expect(readdirSync(join(target, "lib")).sort()).toEqual(["libc10.so", "libtorch_cpu.so"]);
    await fetchLibTorch({ lock: parted, environment, parts: ["cuda"] });
    expect(readdirSync(target).sort()).toEqual(["build-version", "include", "lib", "share"]);
    await expect(fetchLibTorch({ lock: parted, environment, parts: ["cuda", "gpu"] })).rejects.toThrow(
      /1000000000\.0 GB/,
    );
  });

  it("replaces a library of the cache that was cut short", async () => {
    const { lock, environment, target } = offlineIndex();
    writeFiles(target, {
      ...libTorchFiles("2.14.1"),
      "share/x": "",
      "lib/libcudart.so.13": emptyLibrary("cudart"),
      "lib/libc10.so": emptyLibrary("").slice(0, 40),
    });
    await fetchLibTorch({ lock: { ...lock, wheels: lock.wheels.map(asFiles) }, environment });
    expect(readFileSync(join(target, "lib", "libc10.so"), "utf8")).toBe(emptyLibrary("c10"));
  });

  it("says that a download broke off, keeps what came, and goes on from there in the next run", async () => {
    const { lock, cache, environment, torch, target } = offlineIndex();
    const whole = readFileSync(torch.path);
    const half = Math.floor(whole.length / 2);
    const index = await indexOver(torch.path);
    const fetch = () =>
      fetchLibTorch({
        lock: { ...lock, wheels: lock.wheels.slice(0, 1) },
        environment: { ...environment, PIP_NO_INDEX: "", PIP_FIND_LINKS: "", PIP_INDEX_URL: index.url },
      });
    index.until = half;
    await expect(fetch()).rejects.toMatchObject({
      code: "LIBTORCH_MISSING",
      message: expect.stringMatching(
        new RegExp(
          `could not download torch 2\\.14\\.1[\\s\\S]*${half} of ${whole.length} bytes were brought[\\s\\S]*run this again`,
        ),
      ),
    });
    expect(existsSync(target)).toBe(false);
    expect(readdirSync(join(cache, "downloads"))).toEqual([expect.stringMatching(/^torch.*\.whl\.begun$/)]);

    index.until = whole.length;
    index.asked = [];
    await fetch();
    expect(index.asked).toEqual([`bytes=${half}-`]);
    expect(readFileSync(join(target, "lib", "libc10.so"), "utf8")).toBe(emptyLibrary("c10"));
    expect(readdirSync(join(cache, "downloads"))).toEqual([]);
  }, 120_000);

  it("goes on within one run as long as every try brings something", async () => {
    const { lock, environment, torch, target } = offlineIndex();
    const index = await indexOver(torch.path);
    index.most = Math.ceil(torch.bytes / 4);
    const over = { ...environment, PIP_NO_INDEX: "", PIP_FIND_LINKS: "", PIP_INDEX_URL: index.url };
    await fetchLibTorch({ lock: { ...lock, wheels: lock.wheels.slice(0, 1) }, environment: over });
    expect(index.asked).toHaveLength(4);
    expect(existsSync(join(target, "lib", "libtorch_cpu.so"))).toBe(true);
  }, 120_000);

  it("does not begin on a disk that is too small", async () => {
    const { lock, cache, environment } = offlineIndex();
    await expect(
      fetchLibTorch({ lock: { ...lock, unpackedBytes: { always: 1e18 } }, environment }),
    ).rejects.toThrow(/needs 1000000000\.0 GB in .* Make space, or set XDG_CACHE_HOME/);
    expect(kept(cache)).toEqual([]);
  });

  it("pins every wheel by SHA-256, and names no host", () => {
    expect(lockOf(readLock(), []).wheels.map(({ name }) => name)).toEqual([
      "torch",
      "nvidia-cuda-runtime",
      "nvidia-cuda-cupti",
      "rasterio",
    ]);
    expect(readFileSync(new URL("../libtorch.lock.json", import.meta.url), "utf8")).not.toMatch(/:\/\//);
  });
});

/** A wheel of which each library is unpacked by a rule of its own, as the package's lock has them. */
function asFiles(wheel: WheelLock["wheels"][0]): WheelLock["wheels"][0] {
  const names = ["libc10.so", "libtorch_cpu.so"];
  const unpack = wheel.unpack.flatMap((rule) =>
    rule.to === "lib/" ? names.map((name) => ({ from: `${rule.from}${name}`, to: `lib/${name}` })) : [rule],
  );
  return { ...wheel, unpack };
}

/** An index over HTTP that has one wheel, and breaks off after so many bytes of an answer, or of the file. */
async function indexOver(path: string) {
  const content = readFileSync(path);
  const index = { url: "", until: content.length, most: content.length, asked: [] as (string | undefined)[] };
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/torch/")) {
      response.setHeader("Content-Type", "text/html");
      response.end(`<a href="/files/${basename(path)}">${basename(path)}</a>`);
      return;
    }
    index.asked.push(request.headers.range);
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    response.statusCode = 206;
    response.setHeader("Content-Range", `bytes ${start}-${content.length - 1}/${content.length}`);
    response.setHeader("Content-Length", content.length - start);
    const end = Math.min(index.until, start + index.most);
    if (end >= content.length) response.end(content.subarray(start));
    else response.write(content.subarray(start, end), () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  index.url = `http://127.0.0.1:${(server.address() as { port: number }).port}/`;
  return index;
}

/** The same environment with an index that lacks the wheel at `path`. */
function makeIndexWithout(path: string, environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const folder = temporaryFolder();
  const index = environment.PIP_FIND_LINKS as string;
  for (const name of readdirSync(index)) {
    if (join(index, name) !== path) writeFileSync(join(folder, name), readFileSync(join(index, name)));
  }
  return { ...environment, PIP_FIND_LINKS: folder };
}
