import { describe, expect, it } from "vitest";
import { memoryMegabytesOf, minutesOf, packedSeconds, secondsOf } from "../dist/slurm/estimates.js";
import { type LayoutOptions, layOut, type SizedCell } from "../dist/slurm/layout.js";
import { limitsIn, mostMinutesIn, mostSubmitted } from "../dist/slurm/limits.js";
import { queuedIn } from "../dist/slurm/queue.js";
import type { Study } from "../dist/study/config/schema.js";

const options: LayoutOptions = { arraySize: 1001, packedSeconds: 900, tasks: 10_000, live: new Map() };
const cell = (id: string, seconds: number, changes: Partial<SizedCell> = {}): SizedCell => ({
  ...{ id, seconds, dependsOn: [], memoryMegabytes: 2048 },
  ...changes,
});
const many = (count: number, seconds: number, changes: Partial<SizedCell> = {}, name = "c") =>
  Array.from({ length: count }, (_, index) => cell(`${name}${index}`, seconds, changes));

describe("The layout of what is submitted", () => {
  it("is one array of what others start from, each a task of its own, and one of what starts from each", () => {
    const { arrays, left } = layOut(
      [
        cell("p", 1000),
        cell("q", 900),
        ...many(3, 5000, { dependsOn: ["p"] }, "from-p"),
        ...many(2, 5000, { dependsOn: ["q"] }, "from-q"),
        ...many(2, 5000, {}, "alone"),
      ],
      options,
    );
    expect(arrays.map(({ name, tasks, after }) => ({ name, tasks, after }))).toEqual([
      { name: "pretraining-1", tasks: [["p"], ["q"]], after: [] },
      { name: "cells-1", tasks: [["alone0"], ["alone1"]], after: [] },
      {
        name: "cells-2",
        tasks: [["from-p0"], ["from-p1"], ["from-p2"]],
        after: [{ array: "pretraining-1", task: 0 }],
      },
      {
        name: "cells-3",
        tasks: [["from-q0"], ["from-q1"]],
        after: [{ array: "pretraining-1", task: 1 }],
      },
    ]);
    expect(left).toEqual([]);
  });

  it("packs short cells into as few tasks as their time needs, about equally long", () => {
    // 40 of a minute and a half are an hour: four quarters.
    const { arrays } = layOut(many(40, 90), options);
    expect(arrays.map(({ tasks }) => tasks.map((cells) => cells.length))).toEqual([[10, 10, 10, 10]]);
    expect(arrays[0]?.seconds).toBe(900);
    expect(arrays[0]?.tasks.flat().sort()).toEqual(
      many(40, 90)
        .map(({ id }) => id)
        .sort(),
    );
    // The longest first, each to whom has the least: 500 + 100, 400 + 200, 300 + 300.
    const mixed = [500, 400, 300, 300, 200, 100].map((seconds, index) => cell(`m${index}`, seconds));
    const packed = layOut(mixed, { ...options, packedSeconds: 600 });
    expect(packed.arrays[0]?.tasks).toEqual([
      ["m0", "m5"],
      ["m1", "m4"],
      ["m2", "m3"],
    ]);
  });

  it("leaves what takes long, and what asks for other memory, by itself", () => {
    const { arrays } = layOut(
      [cell("long", 4000), ...many(2, 100), ...many(2, 100, { memoryMegabytes: 60_000 }, "large")],
      options,
    );
    expect(arrays.map(({ tasks, memoryMegabytes }) => ({ tasks, memoryMegabytes }))).toEqual([
      { tasks: [["long"]], memoryMegabytes: 2048 },
      { tasks: [["c0", "c1"]], memoryMegabytes: 2048 },
      { tasks: [["large0", "large1"]], memoryMegabytes: 60_000 },
    ]);
  });

  it("splits arrays at the cluster's largest, and waits for the right task of the right part", () => {
    const starts = many(5, 1000, {}, "p");
    const { arrays } = layOut(
      [...starts, ...starts.map(({ id }) => cell(`from-${id}`, 10, { dependsOn: [id] }))],
      { ...options, arraySize: 2 },
    );
    expect(arrays.slice(0, 4).map(({ name, tasks }) => [name, tasks.length])).toEqual([
      ["pretraining-1", 2],
      ["pretraining-2", 2],
      ["pretraining-3", 1],
      ["cells-1", 1],
    ]);
    expect(arrays.at(-1)).toMatchObject({
      tasks: [["from-p4"]],
      after: [{ array: "pretraining-3", task: 0 }],
    });
  });

  it("packs more into a task where the queue has less room, and says what is left where even that is too much", () => {
    const tight = layOut(many(40, 90), { ...options, tasks: 2 });
    expect(tight.arrays.map(({ tasks }) => tasks.length)).toEqual([2]);
    expect(tight.left).toEqual([]);
    const starts = [
      ...many(5, 1000, {}, "p"),
      ...many(5, 10, {}, "c").map((one, index) => ({ ...one, dependsOn: [`p${index}`] })),
    ];
    const cut = layOut(starts, { ...options, tasks: 3 });
    expect(cut.arrays.flatMap(({ tasks }) => tasks.flat())).toEqual(["p0", "p1", "p2"]);
    expect(cut.left).toEqual(["p3", "p4", "c0", "c1", "c2", "c3", "c4"]);
    expect(layOut(starts, { ...options, tasks: 0 }).arrays).toEqual([]);
  });

  it("has what starts from a job that runs already wait for that job", () => {
    const live = new Map([["p", "77_3"]]);
    const { arrays } = layOut([cell("c", 10, { dependsOn: ["p"] })], { ...options, live });
    expect(arrays.map(({ after }) => after)).toEqual([[{ job: "77_3" }]]);
  });
});

describe("What a job is asked for", () => {
  const on = (device: string) => ({ execution: { device } }) as unknown as Study;

  it("is twice the planner's memory and a gigabyte on a CPU, and 8 GB more than that on the host of a GPU", () => {
    expect(memoryMegabytesOf({ memoryBytes: 3e9 }, on("cpu"))).toBe(7168); // 7e9 bytes are 6,676 MiB
    expect(memoryMegabytesOf({ memoryBytes: 30e9 }, on("cuda"))).toBe(8704); // 9e9 bytes are 8,583 MiB
  });

  it("is the planned time and a minute", () => {
    expect(secondsOf({ seconds: 25 })).toBe(60 + 25);
  });

  it("is twice the estimated time, at least half an hour, and no more than the partition lets", () => {
    expect(minutesOf(10, null)).toBe(30);
    expect(minutesOf(6000, null)).toBe(200);
    expect(minutesOf(6000, 120)).toBe(120);
    expect(packedSeconds(null)).toBe(900);
    expect(packedSeconds(10)).toBe(300);
  });
});

describe("What Slurm says", () => {
  it("of its limits is read from its configuration, its partitions and the user's associations", () => {
    const config = [
      "Configuration data as of 2026-11-29T00:44:20",
      "AccountingStorageType   = accounting_storage/slurmdbd",
      "MaxArraySize            = 65",
      "MaxJobCount             = 500",
    ].join("\n");
    expect(limitsIn(config)).toEqual({ limits: { arraySize: 65, jobs: 500 }, isAccounted: true });
    expect(limitsIn("")).toEqual({ limits: { arraySize: 1001, jobs: 10_000 }, isAccounted: false });
    expect(limitsIn("MaxArraySize = 0").limits.arraySize).toBe(0);
    expect(mostSubmitted("|\n200|1000\n50|\n")).toBe(50);
    expect(mostSubmitted("|\n")).toBeNull();
    const partitions = [
      "PartitionName=short AllowGroups=ALL Default=YES MaxTime=04:00:00 MinNodes=0",
      "PartitionName=long Default=NO MaxTime=2-00:30:00",
      "PartitionName=any Default=NO MaxTime=UNLIMITED",
    ].join("\n");
    expect(mostMinutesIn(partitions, null)).toBe(240);
    expect(mostMinutesIn(partitions, "long")).toBe(2 * 1440 + 30);
    expect(mostMinutesIn(partitions, "any,long,short")).toBe(240);
    expect(mostMinutesIn(partitions, "any")).toBeNull();
    expect(mostMinutesIn(partitions, "other")).toBeNull();
  });

  it("of the queue is told apart by the names of jobs, whatever else the user runs", () => {
    const printed = [
      "12|0|RUNNING|29:44|None|tiny.cf2ac2b4.1.cells-1",
      "12|1|PENDING|30:00|Resources|tiny.cf2ac2b4.1.cells-1",
      "15|N/A|PENDING|8:00:00|Dependency|tiny.cf2ac2b4.2.collect",
      "16|N/A|RUNNING|8:00:00|None|tiny.00000000.1.collect",
      "17|0|RUNNING|8:00:00|None|a|b",
      "18|0|RUNNING|8:00:00|None|tiny.cf2ac2b4.1.cells-1; rm -rf",
      "",
    ].join("\n");
    expect(
      queuedIn(printed, "tiny.cf2ac2b4").map(({ id, state, submission, script }) => [
        id,
        state,
        submission,
        script,
      ]),
    ).toEqual([
      ["12_0", "RUNNING", 1, "cells-1"],
      ["12_1", "PENDING", 1, "cells-1"],
      ["15", "PENDING", 2, "collect"],
    ]);
  });
});
