#!/bin/sh
# One GEMM campaign of about ten minutes on the GPU at hand. Use: benchmarks/collect_gemm.sh bf16|others|sustained FOLDER [SECONDS]; SEED (1) chooses the shapes.
# Interrupt it as you like: the same command goes on where it stopped, and a part is a fair sample of the whole.
set -eu
kind=$1 folder=$2 seconds=${3:-540}
cd "$(dirname "$0")/.."
sweep() { PYTHONPATH=".${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 python3 -m gpuprobe sweep gemm --seed "${SEED:-1}" "$@"; }
case $kind in
bf16) sweep --dtype bf16 --layout tn,tn,tn,nn --seconds "$seconds" -o "$folder/bf16.jsonl.gz" ;;
others)
    sweep --dtype fp16,fp8,tf32,int8,fp32 --layout tn --seconds "$seconds" -o "$folder/others.jsonl.gz" ;;
sustained)
    sweep --dtype bf16,bf16,fp8,fp16,tf32,int8,fp32 --regime sustained --seconds "$seconds" -o "$folder/sustained.jsonl.gz" ;;
*) echo "use: $0 bf16|others|sustained FOLDER [SECONDS]" >&2; exit 2 ;;
esac
