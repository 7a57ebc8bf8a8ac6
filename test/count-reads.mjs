// Loaded before a program (node --import): how often it opens each manifest, written into the folder READS when it ends.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename, join } from "node:path";

const reads = {};
const count = (path) => {
  const name = basename(String(path));
  if (name.endsWith(".manifest.csv")) reads[name] = (reads[name] ?? 0) + 1;
};
const { open } = fs.promises;
fs.promises.open = (path, ...rest) => {
  count(path);
  return open(path, ...rest);
};
const { openSync } = fs;
fs.openSync = (path, ...rest) => {
  count(path);
  return openSync(path, ...rest);
};
syncBuiltinESMExports();
process.on("exit", () => {
  fs.writeFileSync(join(process.env.READS, `${process.pid}.json`), JSON.stringify(reads));
});
