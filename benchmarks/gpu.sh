#!/usr/bin/env bash
# The long likelihood protocol on a machine with a CUDA GPU: trains and evaluates, and leaves tables in docs/results.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: benchmarks/gpu.sh [--python PYTHON] [--data NAME_OR_PATH] [--out FOLDER] [--results FOLDER]
                         [--k "1 50"] [--epochs N] [--samples 5000] [--seed 0]

  --python   interpreter of an environment that has vaekit and a CUDA build of torch (default: .venv/bin/python)
  --data     data set, by name or path                    (default: mnist)
  --out      where run directories go                     (default: runs/gpu)
  --results  where the numbers and the log go             (default: docs/results)
  --k        importance samples in training, one run each (default: "1 50")
  --epochs   the recipe's own 3280 where left out
  --samples  importance samples in the evaluation         (default: 5000)
  --seed     (default: 0)

A run that stopped half-way is resumed by the same command.
EOF
}

fail() { echo "gpu.sh: $*" >&2; exit 2; }

root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
python=.venv/bin/python data=mnist out=runs/gpu results=docs/results ks="1 50" epochs="" samples=5000 seed=0
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --python | --data | --out | --results | --k | --epochs | --samples | --seed)
            [ $# -ge 2 ] || fail "$1 needs a value; see --help" ;;
        *) fail "unknown argument '$1'; see --help" ;;
    esac
    case $1 in
        --python) python=$2 ;;
        --data) data=$2 ;;
        --out) out=$2 ;;
        --results) results=$2 ;;
        --k) ks=$2 ;;
        --epochs) epochs=$2 ;;
        --samples) samples=$2 ;;
        --seed) seed=$2 ;;
    esac
    shift 2
done

command -v "$python" >/dev/null || fail "no interpreter at '$python'; pass --python PATH, or run make install"
"$python" -c 'import torch, vaekit' 2>/dev/null || fail "'$python' cannot import torch and vaekit; install vaekit there"
"$python" - <<'EOF' || fail "no CUDA GPU that this torch can use; nothing was run. The CPU benchmarks are 'make bench'"
import sys, torch
print("torch", torch.__version__, "| GPU:", torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none")
sys.exit(not torch.cuda.is_available())
EOF
vaekit=$(dirname "$(command -v "$python")")/vaekit
[ -x "$vaekit" ] || fail "no vaekit command beside '$python'; install vaekit there"

mkdir -p "$out" "$results"
for k in $ks; do
    name=iwae-burda-k$k-seed$seed
    run=$out/$name
    log=$results/$name.log
    arguments=(train iwae-burda --k "$k" --data "$data" --out "$run" --seed "$seed")
    [ -z "$epochs" ] || arguments+=(--epochs "$epochs")
    [ ! -d "$run/checkpoints" ] || arguments+=(--resume)
    echo "== vaekit ${arguments[*]}"
    started=$SECONDS
    "$vaekit" "${arguments[@]}" 2>&1 | tee -a "$log"
    echo "training took $((SECONDS - started)) s in this call" | tee -a "$log"
    echo "== vaekit evaluate $run --nll-samples $samples"
    "$vaekit" evaluate "$run" --nll-samples "$samples" 2>&1 | tee -a "$log"
    cp "$run/metrics.json" "$results/$name.metrics.json"
    cp "$run/config.json" "$results/$name.config.json"
    cp "$run/history.csv" "$results/$name.history.csv"
done
"$python" - "$results" <<'EOF'
import json, sys, torch
from pathlib import Path

from benchmarks.machine import write

results = Path(sys.argv[1])
runs = {path.name.removesuffix(".metrics.json"): json.loads(path.read_text())
        for path in sorted(results.glob("iwae-burda-*.metrics.json"))}
gpu = torch.cuda.get_device_properties(0)
write(results / "gpu.json", "iwae-burda, then vaekit evaluate", {"gpu": gpu.name, "cuda": torch.version.cuda, "runs": runs})
for name, metrics in runs.items():
    test = metrics.get("test", {})
    print(f"{name:<28} NLL {test.get('nll')} (samples {test.get('nll_samples')}), active {test.get('active_units')}")
EOF
