#!/usr/bin/env bash
# Makes what is published, in release/: the tarball with binaries for every version of LibTorch that is supported, its bill
# of materials, what was tried with it, and the checksums of all. Everything is tested from the tarball, in clean folders.
#
#   scripts/release.sh [--quick] [--cpu] [--only 2.14.1,...] [--built]
#
#   --quick   of the suite only what is about the installed package
#   --cpu     no CUDA binaries        --only   for these versions of LibTorch        --built   take prebuilds/ as it is
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
quick='' built='' variants=()
while [ $# -gt 0 ]; do
  case $1 in
    --quick) quick=1 ;;
    --built) built=1 ;;
    --cpu) variants+=(--cpu) ;;
    --only) variants+=(--only "${2:?--only wants versions}"); shift ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
  esac
  shift
done
say() { printf '\n== %s\n' "$*" >&2; }

say "Dependencies and TypeScript"
[ -n "$built" ] || npm ci
npm run build:typescript
if ! npm audit --omit=dev >audit.log 2>&1; then
  # A mirror of the registry may not answer this question: that is no finding.
  grep -q 'audit endpoint returned an error' audit.log || { cat audit.log >&2; rm audit.log; exit 1; }
  echo "npm audit could not be asked here: the registry does not answer it" >&2
fi
rm -f audit.log

if [ -z "$built" ]; then
  say "Binaries"
  rm -rf prebuilds
  node scripts/release/build-variants.mjs "${variants[@]}"
fi

say "Tarball"
rm -rf release && mkdir release
npm pack --silent --pack-destination release
tarball=$(echo "$PWD"/release/transfer-limits-*.tgz)
bytes=$(stat -c %s "$tarball")
echo "$(basename "$tarball"): $bytes bytes" >&2
[ "$bytes" -le 25000000 ] || { echo "The tarball has more than 25 MB" >&2; exit 1; }
node scripts/release/bill-of-materials.mjs >release/bill-of-materials.cdx.json

say "Installed by npm, pnpm and yarn, under Node 20, 22 and 24"
node scripts/release/try-package.mjs "$tarball" --out release/installations.json

say "The suite, with what was packed"
clean=$(mktemp -d)
trap 'rm -rf "$clean"' EXIT
git ls-files -z | tar --null -T - -c | tar -x -C "$clean"
tar -xzf "$tarball" -C "$clean" --strip-components 1
shared=${TRANSFER_LIMITS_SHARED:-$(dirname "$PWD")/shared}
files=()
if [ -n "$quick" ]; then
  files=(test/prebuilt.test.ts test/installed-package.test.ts test/packed-files.test.ts
    test/containers-and-workflow.test.ts test/libtorch-unusable.test.ts test/examples.test.ts)
fi
(cd "$clean" && npm ci && TRANSFER_LIMITS_SHARED="$shared" npx vitest run "${files[@]}")

(cd release && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
