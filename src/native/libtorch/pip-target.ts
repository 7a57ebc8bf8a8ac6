import type { WheelLock } from "./lock.js";

/** pip's words for the wheels of a lock: binaries for its platforms and its Python, whatever Python runs pip. */
export const pipTarget = ({ platforms, python }: WheelLock): string[] => [
  "--no-deps",
  "--only-binary=:all:",
  ...platforms.flatMap((platform) => ["--platform", platform]),
  ...["--python-version", python.version, "--implementation", python.implementation, "--abi", python.abi],
];
