#!/usr/bin/env bash
# Makes a visit: unpacks what `node scripts/gpu-visit/pack.mjs` packed beside this script, and runs it in under nine
# minutes. Needs Python with torch and a CUDA host's tools; neither Node nor the network. Results are written as they come.
#
#   run.sh [--cpu] [--build] [--out FOLDER] [--budget SECONDS]
#
# --cpu      without a GPU, as where none is found: what needs one is "not run"
# --build    builds the programs from the packed sources even where the packed ones start
# --out      where results go: at most 8 files of 16 MiB; default $OUT, or `results` beside this script
# PYTHON names the Python whose torch is taken (python3); LIBTORCH, where it is set, another LibTorch.
set -euo pipefail
started=$(date +%s%3N)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d "${TMPDIR:-/tmp}/gpu-visit.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$python" - "$here" "$work" <<'PYTHON'
import lzma, os, shutil, sys, tarfile
here, work = sys.argv[1:]
with tarfile.open(os.path.join(here, "visit.tar.xz"), "r:xz") as archive:
    archive.extractall(work, filter="data") if hasattr(tarfile, "data_filter") else archive.extractall(work)
packed = os.path.join(here, "node.xz")
if os.path.exists(packed):
    with lzma.open(packed) as source, open(os.path.join(work, "node"), "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 22)
    os.chmod(os.path.join(work, "node"), 0o755)
PYTHON
node="$work/node"
[ -x "$node" ] && "$node" --version >/dev/null || node=$(command -v node) || { echo "No Node: neither the packed one nor another starts" >&2; exit 2; }
status=0
"$node" "$work/scripts/gpu-visit/run.mjs" --started "$started" --root "$work" --here "$here" --python "$python" "$@" || status=$?
exit "$status"
