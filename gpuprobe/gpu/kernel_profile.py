"""What ncu runs to see a candidate's kernels: one call of the model after a warm-up. ``CANDIDATE REFERENCE DEVICE``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from gpuprobe.gpu.kernel_torch import TorchBackend


def main(candidate: str, reference: str, device: str) -> int:
    """Call ModelNew of one file on the inputs of the other, between the profiler's start and stop."""
    backend = TorchBackend(device)
    oracle = backend.oracle()
    task = backend.load_module(Path(reference))
    model = backend.build(backend.load_module(Path(candidate)), "ModelNew", oracle.pack_init(task), 1)
    inputs = oracle.inputs(task, 1)
    for _ in range(3):
        backend.call(model, inputs)
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStart()
    backend.call(model, inputs)
    torch.cuda.synchronize()
    torch.cuda.cudart().cudaProfilerStop()
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
