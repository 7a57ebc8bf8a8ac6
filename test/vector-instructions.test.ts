import { execFileSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { addonFile } from "../dist/native/load-addon.js";

const packedArithmetic =
  /\tv(add|sub|mul|div|sqrt|fn?madd\d+|fn?msub\d+)p[sd] .*%[yz]mm|\tvp(mul|add|madd)\w* .*%[yz]mm/;

/** Of each function that is compiled for several instruction sets: arithmetic on whole vectors, for AVX2 and for AVX-512. */
function vectorArithmetic(file: string): Map<string, { avx2: number; avx512: number }> {
  const listing = execFileSync("objdump", ["-d", "-C", "--no-show-raw-insn", file], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  const found = new Map<string, { avx2: number; avx512: number }>();
  let counts: { avx2: number; avx512: number } | null = null;
  let set: "avx2" | "avx512" = "avx2";
  for (const line of listing.split("\n")) {
    const title = /^[0-9a-f]+ <(.*)>:$/.exec(line);
    if (title) {
      const clone = /^(.*) \[clone \.arch_x86_64_v([34])\]$/.exec(title[1] as string);
      counts = clone ? (found.get(clone[1] as string) ?? { avx2: 0, avx512: 0 }) : null;
      if (clone && counts) found.set(clone[1] as string, counts);
      set = clone?.[2] === "3" ? "avx2" : "avx512";
    } else if (counts && packedArithmetic.test(line)) {
      counts[set]++;
    }
  }
  return found;
}

describe("a loop of a kernel that the compiler vectorises", () => {
  const functions = vectorArithmetic(addonFile());

  // Other compilers than GCC 12 and newer make no clones.
  it.skipIf(functions.size === 0)("works on whole vectors with AVX2 too, where choices need no masks", () => {
    expect(functions.size).toBeGreaterThan(20);
    const one = (name: string) => [...functions].filter(([title]) => title.includes(name)).length;
    for (const name of ["activate_row", "sum_of_kernel", "normalise_block"]) expect(one(name)).toBe(1);
    // AVX-512 has a second loop, for what is left over.
    const scalar = [...functions].filter(([, { avx2, avx512 }]) => avx2 < 0.3 * avx512);
    expect(scalar).toEqual([]);
  });
});
