// Prints the package's bill of materials (CycloneDX): the npm packages that it is installed with, and the wheels, by their
// SHA-256, from which LibTorch is fetched when it is first used. Nothing of those is in the tarball.
import { spawnSync } from "node:child_process";
import { readLock } from "../../dist/native/libtorch/lock.js";
import { fail, root } from "../libtorch.mjs";

const { status, stdout, stderr } = spawnSync(
  "npm",
  ["sbom", "--omit=dev", "--sbom-format=cyclonedx", "--package-lock-only"],
  { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 },
);
if (status !== 0) fail(`npm sbom failed:\n${stderr}`);
const bill = JSON.parse(stdout);
for (const { name, version, sha256, unpack } of readLock().wheels) {
  const parts = new Set(unpack.map(({ part }) => part ?? "always"));
  bill.components.push({
    "bom-ref": `pypi/${name}@${version}`,
    type: "library",
    name,
    version,
    scope: "optional",
    purl: `pkg:pypi/${name}@${version}`,
    hashes: [{ alg: "SHA-256", content: sha256 }],
    properties: [{ name: "transfer-limits:fetched", value: [...parts].join(", ") }],
  });
}
process.stdout.write(`${JSON.stringify(bill, null, 2)}\n`);
