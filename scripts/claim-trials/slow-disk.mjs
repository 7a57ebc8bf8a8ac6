// Loaded before a program (node --import): a file system without hard links, on which a rename takes its time and is
// answered late.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

const refusal = () =>
  Object.assign(new Error("ENOTSUP: operation not supported, link"), { code: "ENOTSUP", syscall: "link" });
fs.promises.link = async () => {
  throw refusal();
};
fs.link = (_from, _to, callback) => callback(refusal());
fs.linkSync = () => {
  throw refusal();
};
const { rename } = fs.promises;
fs.promises.rename = async (from, to) => {
  await sleep(300 * Math.random());
  await rename(from, to);
  await sleep(300 * Math.random());
};
syncBuiltinESMExports();
