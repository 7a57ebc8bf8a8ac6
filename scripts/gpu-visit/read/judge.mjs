// What the records of a visit say: what is right, what is wrong, and each number beside its target and floor.
import { floorOfOperations, floorOfWork } from "./floors.mjs";

/** What numbers should reach. */
export const targets = {
  /** Times as fast as the fastest peer, in the same precision. */
  timesFastestPeer: 1,
  /** Percent of the time in which a device works while a cell trains. */
  utilisation: 90,
  /** A cell's peak memory as a share of its estimate. */
  memory: [0.5, 1.2],
  /** A recorded step over a plain one. */
  recorded: 1.02,
};

/** Two numbers of which one is computed on another device differ in their last digits, however small they are. */
const smallest = 1e-6;

/**
 * @returns { facts, parts, judgements, numbers, networks, kernels }: judgements { part, what, right, detail } with right
 *   null where it could not be decided; numbers { what, value, unit, target, met, floor }, met null where there is no
 *   target; networks as recorded with `floor` and `met` by column
 */
export function judge({ records, unreadable }) {
  const of = (kind) => records.filter((record) => record.kind === kind);
  const facts = Object.fromEntries(of("fact").map(({ what, value }) => [what, value]));
  const rates = of("rates")[0] ?? null;
  const unit = facts.device === "cpu" ? "cpu" : "gpu";
  const parts = partsOf(records);
  const judgements = [
    ...parts.flatMap(({ name, outcome, reason }) =>
      outcome === "failed"
        ? [{ part: name, what: "the part itself", right: false, detail: reason ?? "it failed" }]
        : [],
    ),
    ...of("judged").map(({ part, what, right, detail }) => ({
      part,
      what,
      right,
      detail: [detail].flat().join("; "),
    })),
    ...of("compared").map(judgeComparison),
    ...(unreadable === 0
      ? []
      : [{ part: "records", what: `${unreadable} lines`, right: null, detail: "they cannot be read" }]),
  ];
  return {
    facts,
    rates: rates && { float32: rates.float32, bfloat16: rates.bfloat16, bytes: rates.bytes },
    parts,
    judgements,
    numbers: [
      ...timesOf(of("timed"), rates, unit),
      ...of("measured").map(measuredNumber),
      ...of("memory").map((record) => memoryNumber(record, unit)),
    ],
    networks: networksOf(of("network"), rates, unit),
    kernels: of("kernel").map(({ what, share, launches, metrics }) => ({ what, share, launches, metrics })),
  };
}

function partsOf(records) {
  const parts = new Map();
  for (const record of records) {
    if (record.kind === "begin") parts.set(record.part, { name: record.part, outcome: "cut off" });
    if (record.kind === "end") {
      const { outcome, reason, seconds } = record;
      parts.set(record.part, {
        name: record.part,
        outcome,
        seconds,
        ...(reason !== undefined && { reason }),
      });
    }
  }
  return [...parts.values()];
}

function judgeComparison({ part, what, got, missing, expected, share }) {
  const right =
    !missing &&
    (got === null || expected === null
      ? got === expected
      : Math.abs(got - expected) <= share * Math.abs(expected) + smallest);
  const detail = missing
    ? "it is missing"
    : `${shown(got)} beside ${shown(expected)} on the CPU, at most ${100 * share} % apart`;
  return { part, what, right, detail };
}

const shown = (value) => (value === null ? "undefined" : String(Number(value.toPrecision(6))));

/** Rows of one work and precision stand beside each other: ours are compared with the fastest of the others. */
function timesOf(rows, rates, unit) {
  const groupOf = ({ work, by }) => {
    const precision = /ConvNeXt/.test(work) ? (/bfloat16|float32/.exec(by)?.[0] ?? "") : "";
    return `${work}|${precision}`;
  };
  return rows.map((row) => {
    const peers = rows.filter(
      (other) => !other.ours && other.milliseconds !== null && groupOf(other) === groupOf(row),
    );
    const fastest = Math.min(...peers.map(({ milliseconds }) => milliseconds));
    const number = {
      what: `${row.work}: ${row.by}`,
      value: row.milliseconds,
      unit: "ms",
      ours: row.ours,
      target: null,
      met: null,
      floor: row.ours ? floorOfWork(row.work, row.by, rates, unit) : null,
      ...(row.milliseconds === null && { reason: row.reason ?? "not measured" }),
    };
    if (!row.ours || row.milliseconds === null || peers.length === 0) return number;
    const times = fastest / row.milliseconds;
    return {
      ...number,
      times,
      target: fastest / targets.timesFastestPeer,
      met: times >= targets.timesFastestPeer,
    };
  });
}

function measuredNumber({ what, value, unit }) {
  const isUtilisation = unit === "%" && what.includes("utilisation");
  return {
    what,
    value,
    unit,
    target: isUtilisation ? targets.utilisation : null,
    met: isUtilisation ? value >= targets.utilisation : null,
    floor: null,
  };
}

/** A process on a CPU holds more than a device's allocator: estimates are compared with a GPU's alone. */
function memoryMet({ peakBytes, estimatedBytes }, unit) {
  if (unit === "cpu") return null;
  const share = peakBytes / estimatedBytes;
  return share >= targets.memory[0] && share <= targets.memory[1];
}

const memoryNumber = (record, unit) => ({
  what: `${record.what}, peak memory`,
  value: record.peakBytes / 1e9,
  unit: "GB",
  target: unit === "cpu" ? null : record.estimatedBytes / 1e9,
  met: memoryMet(record, unit),
  floor: null,
});

function networksOf(rows, rates, unit) {
  const plainOf = (what) => rows.find((row) => `${row.what}, CUDA graph` === what);
  return rows.map(({ kind: _, part: __, at: ___, ...row }) => {
    const plain = plainOf(row.what);
    return {
      ...row,
      floor: floorOfOperations(row.operations, rates),
      met: {
        // The host hands over a pass before the device has done one: the device never waits.
        host: unit === "cpu" ? null : row.host < row.steady,
        // The estimate is of training; a recorded step holds its graph beside.
        memory: row.what.endsWith(", training step") ? memoryMet(row, unit) : null,
        recorded: plain === undefined ? null : row.steady <= targets.recorded * plain.steady,
      },
    };
  });
}
