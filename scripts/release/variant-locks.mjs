// The LibTorch versions that the package is built for, as locks by which they are fetched; the pinned one is the last.
import { readFileSync } from "node:fs";
import { readLock } from "../../dist/native/libtorch/lock.js";

export function variantLocks() {
  const pinned = readLock();
  const others = JSON.parse(readFileSync(new URL("./variants.json", import.meta.url), "utf8"));
  return [...others.map((other) => lockFor(pinned, other)), pinned];
}

/** The package's lock with another torch in it: the wheels of these versions hold the same files by the same names. */
function lockFor(pinned, { version, flavour, bytes, sha256 }) {
  const { wheels } = pinned;
  const torch = wheels.find(({ name }) => name === "torch");
  const unpack = torch.unpack.map((rule) => ({ ...rule, from: rule.from.replace(torch.version, version) }));
  return {
    ...pinned,
    version,
    flavour,
    wheels: wheels.map((wheel) => (wheel === torch ? { ...torch, version, bytes, sha256, unpack } : wheel)),
  };
}
