#!/usr/bin/env bash
# What is worth recording on a GPU that is yours for a short time: its tests, the benchmark, then the paper's study seed by
# seed, several runs sharing the GPU. Ends by itself in time; the same command goes on where it ended. What is to be kept, small
# files alone, goes to outputs/gpu-record/.
#
#   scripts/gpu_record.sh                                          on CIFAR-10 itself, in pieces of nine minutes
#   scripts/gpu_record.sh data=image_folder data.root=DIR          on a folder of images; further settings likewise
#   SECONDS_LEFT=300 SEEDS="0 1" AT_ONCE=2 scripts/gpu_record.sh   a piece of five minutes, two seeds, two runs at a time
#   PYTHON=python3 WHEELS=DIR scripts/gpu_record.sh                without .venv and without a network: pure-Python wheels
#                                                                  from a folder stand in for what the interpreter lacks
set -euo pipefail
cd "$(dirname "$0")/.."
end=$((SECONDS + ${SECONDS_LEFT:-540}))
python=${PYTHON:-.venv/bin/python}
record=outputs/gpu-record
saving=${SAVING:-30} # seconds in which a run that is told to stop has saved itself; with less than twice that nothing begins
mkdir -p "$record"

export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
if [ -n "${WHEELS:-}" ]; then
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    for wheel in "$WHEELS"/*.whl; do "$python" -m zipfile -e "$wheel" "$unpacked"; done
    PYTHONPATH=$PYTHONPATH:$unpacked
fi

left() { echo $((end - SECONDS)); }

out_of_time() {
    echo "out of time before $1: the same command goes on from there"
    exit 0
}

# A command with the time that is left; it hears of the end by SIGTERM.
in_time() { timeout --signal=TERM --kill-after="$saving" "$(($(left) - saving))" "$@"; }

# once NAME COMMAND...: keeps what a command prints, a failed test or bench too; not again where that is whole.
once() {
    local kept=$record/$1.txt code=0
    shift
    [ -e "$kept" ] && return
    [ "$(left)" -ge $((2 * saving)) ] || out_of_time "$kept"
    echo "$kept"
    in_time "$@" > "$kept.part" 2>&1 || code=$?
    if [ $code -eq 124 ] || [ $code -eq 137 ]; then out_of_time "the end of $kept"; fi
    tail -n 3 "$kept.part"
    [ $code -le 1 ] || exit $code
    mv "$kept.part" "$kept"
}

keep() {
    local folder kept
    for folder in outputs/degradation/*/seed*/; do
        if [ -e "$folder/summary.json" ]; then
            kept=$record/${folder#outputs/}
            mkdir -p "$kept"
            cp "$folder"/{config.yaml,metrics.csv,summary.json} "$kept"
        fi
    done
}

{
    date -u +%F
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2> /dev/null || echo "no GPU"
    "$python" -c 'import sys, torch, torchvision, numpy; print("Python", sys.version.split()[0])
for module in (torch, torchvision, numpy): print(module.__name__, module.__version__)'
} > "$record/machine.txt"

once tests "$python" -m pytest -q -m "gpu and not slow" tests/test_gpu.py
once bench "$python" scripts/bench.py ${BENCH:---nets resnet56 --steps 100 --rounds 3 --no-start-up}

# Several processes share a GPU well only under MPS, and compiled runs do not begin there.
if command -v nvidia-cuda-mps-control > /dev/null; then
    export CUDA_MPS_PIPE_DIRECTORY=${CUDA_MPS_PIPE_DIRECTORY:-/tmp/mps-pipe} CUDA_MPS_LOG_DIRECTORY=${CUDA_MPS_LOG_DIRECTORY:-/tmp/mps-log}
    nvidia-cuda-mps-control -d || true # it may run already
fi
for seed in ${SEEDS:-0 1 2}; do
    [ "$(left)" -ge $((2 * saving)) ] || out_of_time "seed $seed"
    code=0
    in_time "$python" -m resnet_exp experiment=degradation hydra/launcher=parallel hydra.launcher.n_jobs="${AT_ONCE:-4}" \
        compile=false threads=2 "$@" seed="$seed" || code=$?
    keep
    case $code in
        0) ;;
        124 | 137 | 143) out_of_time "the end of seed $seed" ;;
        *) exit $code ;;
    esac
done
echo "complete: $record"
