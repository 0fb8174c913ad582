#!/bin/bash
# Measures one machine unattended: parts in lanes, a lane a GPU, lanes at once; each GPU has shapes of its own (from FIRST_SEED=1 on).
# What a part measures and prints is in FOLDER/GPU/PART; the same command goes on where sweeps stopped.
# Use: benchmarks/campaign.sh FOLDER LANE...   a LANE is parts with their seconds: probes=420,tiles=150
# Every part that measures with gpuprobe ends by itself in its seconds and keeps what it has; all are killed at 1.2 times as many.
set -u -m  # -m: Ctrl-C must reach what runs in the background
folder=$(mkdir -p "$1" && cd "$1" && pwd); shift
cd "$(dirname "$0")/.."
export PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
gpuprobe() { python3 -m gpuprobe "$@"; }
export FIRST="ffma_latency iadd3_latency dfma_latency mufu_latency global_latency shared_latency l2_near_far l2_bandwidth \
dram_bandwidth mma_latency mma_rate wgmma_rate null_kernel null_graph"

probes() {  # every probe in full once, between two quick runs: their difference is the run-to-run noise
    gpuprobe microbench --arch sm90 --full --build-only > /dev/null || return
    gpuprobe microbench --arch sm90 --live --quick -o "$2/quick1.json.gz" > "$2/quick1.txt"
    timeout -s INT "$(($1 * 3 / 4))" python3 -m gpuprobe microbench --arch sm90 --live --full -o "$2/full.json.gz" > "$2/full.txt"
    gpuprobe microbench --arch sm90 --live --quick -o "$2/quick2.json.gz" > "$2/quick2.txt"
}
full() { timeout -s INT "$1" python3 -m gpuprobe microbench --arch sm90 --live --full -o "$2/full.json.gz" > "$2/full.txt"; }
quick() { gpuprobe microbench --arch sm90 --live --quick -o "$2/quick.json.gz" > "$2/quick.txt"; }
again() {  # after probes: what quick runs leave out, once more in full (energies, which take minutes, aside)
    left_out=$(python3 - "$(dirname "$2")/probes" << 'END'
import sys
from pathlib import Path
from gpuprobe.run_files import read_run
full, quick = ({s.probe for s in read_run(Path(sys.argv[1], f"{name}.json.gz")).series} for name in ("full", "quick1"))
print(*(f"--probe {name}" for name in sorted(full - quick) if not name.startswith("energy_")))
END
    ) || return
    timeout -s INT "$1" python3 -m gpuprobe microbench --arch sm90 --live --full $left_out -o "$2/again.json.gz" > "$2/again.txt"
}
repeats() {  # the first probes ten times: noise from run to run
    for run in 0 1 2 3 4 5 6 7 8 9; do
        gpuprobe microbench --arch sm90 --live --quick --fresh $(printf -- "--probe %s " $FIRST) -o "$2/run$run.json.gz" > /dev/null || return
    done
}
first() { gpuprobe microbench --arch sm90 --live --quick $(printf -- "--probe %s " $FIRST) -o "$2/first.json.gz" > "$2/first.txt"; }
bf16() { benchmarks/collect_gemm.sh bf16 "$2" "$1"; }
others() { benchmarks/collect_gemm.sh others "$2" "$1"; }
sustained() { benchmarks/collect_gemm.sh sustained "$2" "$1"; }
tiles() { gpuprobe sweep kernel --long-k --shapes 240 --configs 120 --seed "$((SEED + 10))" --seconds "$1" -o "$2/tiles.jsonl" && gzip -kf "$2/tiles.jsonl"; }
recorder() { python3 benchmarks/trace_record.py --programs mm,decode,graph --seconds "$(($1 / 4))" --output "$2/costs.json"; }
durations() { python3 benchmarks/trace_durations.py --output "$2/durations.json"; }

lane() {  # number of the GPU, parts
    export CUDA_VISIBLE_DEVICES=$1 SEED=$(($1 + ${FIRST_SEED:-1})) GPUPROBE_STATE=${TMPDIR:-/tmp}/gpuprobe-state-$1
    for part in ${2//,/ }; do
        name=${part%%=*} seconds=${part##*=}
        out=$folder/$1/$name
        mkdir -p "$out"
        begin=$SECONDS
        (export -f gpuprobe "$name"; timeout -k 5 $((seconds * 6 / 5)) bash -c "$name $seconds $out") > "$out/log.txt" 2>&1
        echo "GPU $1: $name ended with $? after $((SECONDS - begin)) of $seconds s: $(tail -n 1 "$out/log.txt" | cut -c1-200)"
    done
}
index=0
for parts in "$@"; do lane $index "$parts" & index=$((index + 1)); done
wait
