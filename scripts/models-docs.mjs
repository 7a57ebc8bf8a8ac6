// The tables of encoders in docs/models.md and of each family's key maps in docs/checkpoints.md: one row for each preset and each
// family that there are. `node scripts/models-docs.mjs` checks them (after a build, with LibTorch), `--write` brings them
// up to date.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { encoderArchitectures } from "../dist/models/architectures/index.js";
import { parameterCount } from "../dist/models/parameters.js";
import { PlacedNetwork } from "../dist/native/placed-network.js";
import { forwardCost } from "../dist/study/plan/estimate.js";

const paperSize = [96, 200, 200];
const significant = (number) => {
  const rounded = Number(number.toPrecision(3));
  const digits = Math.max(0, 2 - Math.floor(Math.log10(rounded)));
  return rounded.toFixed(digits);
};

/** Family, input, parameters and multiply-adds of each preset. */
async function encoderRows() {
  const rows = [
    "| Preset | Family | Channels x depth x height x width | Parameters (10⁶) | Multiply-adds (10⁹) |",
    "| --- | --- | --- | ---: | ---: |",
  ];
  for (const { family, presets } of Object.values(encoderArchitectures)) {
    for (const [name, encoder] of Object.entries(presets)) {
      const network = await PlacedNetwork.build({ encoder });
      const parameters = parameterCount(network);
      network.dispose();
      const [depth, height, width] = paperSize;
      const cost = forwardCost({ encoder }, [height, width, depth]);
      rows.push(
        `| \`${name}\` | \`${family}\` | ${[encoder.channels, ...paperSize].join(" x ")} | ` +
          `${significant(parameters / 1e6)} | ${significant(cost / 1e9)} |`,
      );
    }
  }
  return rows;
}

/** What each family's own key maps are of. */
const keyMapRows = () => [
  "| Name | Family's files |",
  "| --- | --- |",
  ...Object.values(encoderArchitectures).flatMap(({ keyMaps }) =>
    keyMaps.map(({ name, title }) => `| \`${name}\` | ${title} |`),
  ),
];

const tables = [
  ["../docs/models.md", await encoderRows()],
  ["../docs/checkpoints.md", keyMapRows()],
];
for (const [page, rows] of tables) {
  const file = fileURLToPath(new URL(page, import.meta.url));
  const text = readFileSync(file, "utf8");
  const lines = text.split("\n");
  const start = lines.indexOf(rows[0]);
  if (start < 0) {
    console.error(`${file} has no table that begins ${rows[0]}`);
    process.exit(1);
  }
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  const written = lines.toSpliced(start, length, ...rows).join("\n");
  if (written === text) continue;
  if (process.argv.includes("--write")) writeFileSync(file, written);
  else {
    console.error(`${file} lists other encoders than there are. Run: node scripts/models-docs.mjs --write`);
    process.exitCode = 1;
  }
}
