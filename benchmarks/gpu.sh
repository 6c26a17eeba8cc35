#!/usr/bin/env bash
# The published protocols on a machine with a CUDA GPU: trains, measures, and leaves tables in docs/results.
set -euo pipefail

usage() {
    cat <<'END'
usage: benchmarks/gpu.sh [--python PYTHON] [--tables "TABLE ..."] [--rows "ROW; ..."] [--seeds N] [--epochs N]
                         [--samples N] [--melodies ARCHIVE] [--runs FOLDER] [--results FOLDER]

  --python   interpreter of an environment that has vaekit and a CUDA build of torch (default: .venv/bin/python)
  --tables   which to make (default: "published-mnist published-mnist-static published-draw published-sprites")
  --rows     only these rows, by name or the start of a name, with semicolons between
  --seeds    runs of each row                             (default: 1)
  --epochs   for all rows alike; the published numbers where left out
  --samples  importance samples of the NLL; the table's own where left out
  --melodies MIDI files: also MusicVAE on these, at the published widths, by benchmarks.music
  --runs     where run directories go                     (default: runs/gpu)
  --results  where the tables and the log go              (default: docs/results)

A run that stopped half-way is gone on with by the same command, and the table is written anew after every run.
END
}

fail() { echo "gpu.sh: $*" >&2; exit 2; }

cd "$(dirname "$0")/.."
python=.venv/bin/python tables="published-mnist published-mnist-static published-draw published-sprites" rows="" seeds=1
epochs="" samples="" melodies="" runs=runs/gpu results=docs/results
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --python | --tables | --rows | --seeds | --epochs | --samples | --melodies | --runs | --results)
            [ $# -ge 2 ] || fail "$1 needs a value; see --help"
            declare "${1#--}=$2" ;;
        *) fail "unknown argument '$1'; see --help" ;;
    esac
    shift 2
done

command -v "$python" >/dev/null || fail "no interpreter at '$python'; pass --python PATH, or run make install"
"$python" -c 'import torch, vaekit' 2>/dev/null || fail "'$python' cannot import torch and vaekit; install vaekit there"
"$python" - <<'END' || fail "no CUDA GPU that this torch can use; nothing was run. The CPU benchmarks are 'make bench'"
import sys, torch
print("torch", torch.__version__, "| GPU:", torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none")
sys.exit(not torch.cuda.is_available())
END

mkdir -p "$runs" "$results"
options=(--seeds "$seeds" --runs "$runs" --out "$results")
[ -z "$rows" ] || options+=(--rows "$rows")
[ -z "$epochs" ] || options+=(--epochs "$epochs")
[ -z "$samples" ] || options+=(--nll-samples "$samples")
for table in $tables; do
    echo "== vaekit reproduce $table ${options[*]}"
    "$python" -m vaekit reproduce "$table" "${options[@]}" 2>&1 | tee -a "$results/gpu.log"
done
if [ -n "$melodies" ]; then
    "$python" -m benchmarks.music --data "$melodies" --repeat --hidden 2048 --latent-dim 512 --batch-size 512 \
        --learning-rate 1e-3 --epochs "${epochs:-50},${epochs:-200}" --runs "$runs/music" \
        --out "$results/published-music.json" 2>&1 | tee -a "$results/gpu.log"
fi
