// Loaded before a program (node --import): as if every file system were one without hard links, such as FAT.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const refusal = () =>
  Object.assign(new Error("EPERM: operation not permitted, link"), {
    code: "EPERM",
    errno: -1,
    syscall: "link",
  });
fs.promises.link = async () => {
  throw refusal();
};
fs.link = (_from, _to, callback) => callback(refusal());
fs.linkSync = () => {
  throw refusal();
};
syncBuiltinESMExports();
