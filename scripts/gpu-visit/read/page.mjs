// A visit as one page of Markdown, and the part of it that docs/performance.md shows.

/** The whole: what is right, what is wrong, each number beside its target and floor. */
export function page(visit) {
  const { judgements } = visit;
  const wrong = judgements.filter(({ right }) => right === false);
  const open = judgements.filter(({ right }) => right === null);
  const right = judgements.filter(({ right }) => right === true);
  return [
    `# ${titleOf(visit)}`,
    factsIn(visit),
    "## Wrong",
    wrong.length === 0 ? "Nothing that was judged." : listed(wrong),
    ...(open.length === 0 ? [] : ["## Not decided", listed(open)]),
    "## Right",
    right.length === 0 ? "Nothing was judged." : countsIn(right),
    "## Parts",
    table(
      ["part", "outcome", "seconds", "why"],
      visit.parts.map(({ name, outcome, seconds, reason }) => [name, outcome, seconds ?? "–", reason ?? ""]),
    ),
    "## Numbers",
    numbersIn(visit),
  ].join("\n\n");
}

/** What was measured, for docs/performance.md. */
export const performanceSection = (visit) =>
  [`**CUDA**, ${titleOf(visit)}.`, factsIn(visit), verdictIn(visit), numbersIn(visit)].join("\n\n");

const titleOf = ({ facts }) =>
  `${safe(facts.card ?? facts.processor ?? "unknown")}, ${safe(facts.date ?? "undated")}`;

function factsIn({ facts, rates }) {
  const known = Object.entries(facts).filter(([what]) => !["card", "date", "device"].includes(what));
  const lines = known.map(([what, value]) => `- ${safe(what)}: ${safe(value)}`);
  if (rates !== null) {
    const rate = `${figure(rates.bfloat16 / 1e12)} TFLOP/s of bfloat16 and ${figure(rates.float32 / 1e12)} of float32 matrix products`;
    lines.push(`- measured rates: ${rate}, ${figure(rates.bytes / 1e9)} GB/s of reading`);
  }
  return lines.join("\n");
}

function verdictIn({ judgements, parts }) {
  const count = (value) => judgements.filter(({ right }) => right === value).length;
  const notDone = parts
    .filter(({ outcome }) => outcome !== "done")
    .map(({ name, outcome }) => `${name} (${outcome})`);
  return `${count(true)} comparisons right, ${count(false)} wrong, ${count(null)} not decided.${
    notDone.length === 0 ? "" : ` Not done: ${notDone.map(safe).join(", ")}.`
  }`;
}

function countsIn(right) {
  const counts = new Map();
  for (const { part } of right) counts.set(part, (counts.get(part) ?? 0) + 1);
  return [...counts].map(([part, count]) => `- ${safe(part)}: ${count}`).join("\n");
}

const listed = (judgements) =>
  judgements
    .map(({ part, what, detail }) => `- **${safe(part)}: ${safe(what)}**: ${safe(detail)}`)
    .join("\n");

function numbersIn({ numbers, networks, kernels }) {
  const tables = [];
  if (numbers.length > 0) {
    tables.push(
      table(
        ["number", "value", "target", "floor", ""],
        numbers.map(({ what, value, unit, target, met, floor, times, reason }) => [
          what,
          value === null ? `not measured: ${reason}` : `${figure(value)} ${unit}`,
          target === null ? "–" : `${figure(target)} ${unit}`,
          floor === null ? "–" : `${figure(floor)} ${unit}`,
          [metIn(met), ...(times === undefined ? [] : [`${figure(times)}x the fastest peer`])]
            .filter(Boolean)
            .join(", "),
        ]),
      ),
    );
  }
  if (networks.length > 0) {
    tables.push(
      table(
        [
          "network",
          "first, ms",
          "steady, ms",
          "device, ms",
          "floor, ms",
          "host, ms",
          "",
          "peak, GB",
          "estimate, GB",
          "",
        ],
        networks.map(({ what, first, steady, device, floor, host, peakBytes, estimatedBytes, met }) => [
          what,
          figure(first),
          figure(steady),
          figure(device),
          floor === null ? "–" : figure(floor),
          figure(host),
          [met.host === false ? "the device waits" : "", met.recorded === false ? "slower than plain" : ""]
            .filter(Boolean)
            .join(", "),
          figure(peakBytes / 1e9),
          figure(estimatedBytes / 1e9),
          metIn(met.memory),
        ]),
      ),
    );
  }
  if (kernels.length > 0) {
    tables.push(
      table(
        ["costliest kernels of a training step", "of its time", "launches", "as Nsight Compute sees one"],
        kernels.map(({ what, share, launches, metrics }) => [
          what,
          `${figure(100 * share)} %`,
          launches,
          Object.entries(metrics)
            .map(([name, value]) => `${name} ${value}`)
            .join(", "),
        ]),
      ),
    );
  }
  return tables.length === 0 ? "None was measured." : tables.join("\n\n");
}

const metIn = (met) => (met === null ? "" : met ? "met" : "**missed**");

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => safe(String(cell))).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Three digits that matter. */
function figure(value) {
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** What a program on another machine said, as a text in a line of Markdown. */
function safe(text) {
  return (
    String(text)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is to be kept out
      .replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, " ")
      .replace(/[|<>]/g, (character) => `\\${character}`)
  );
}
