"""NVIDIA's nvMatmulHeuristics as a baseline, where the user has installed it (proprietary; never a dependency).

Traps of 0.1.0.27 that this goes around: a profile that is missing loads "successfully", so the status is read; bf16
has no profile, so fp16's is borrowed; a handle that has answered must not be destroyed, so it is emptied instead.
"""

from __future__ import annotations

import atexit
import ctypes
from importlib import import_module
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.predict.dataset import Dataset

_GPUS: Final = {
    "h100-sxm": "H100_SXM", "h100-pcie": "H100_PCIE", "h100-nvl": "H100_NVL", "h200-sxm": "H200_SXM",
    "a100-sxm-80gb": "A100_SXM_80GB", "a100-pcie-80gb": "A100_PCIE_80GB", "a40": "A40_PCIE", "a10": "A10_PCIE",
    "l40s": "L40S", "l40": "L40", "l4": "L4", "rtx-3090": "RTX_3090", "rtx-4090": "RTX_4090", "b200": "B200",
}  # fmt: skip
_PRECISIONS: Final = {"bf16": "HSH", "fp16": "HSH", "tf32": "SFS", "fp32": "SSS", "fp8": "QQTST", "int8": "BII"}
_ROW_MAJOR: Final = {0.0: 1, 1.0: 0}  # layouts by Dataset.nn: tn is the library's NT_ROW_MAJOR, nn its NN_ROW_MAJOR


def times(device: str, data: Dataset) -> NDArray[np.float64] | str:
    """Its time in s of each GEMM (first-ranked configuration; NaN where it has none), or why there is none at all."""
    try:
        library: Any = import_module("nvMatmulHeuristics.nvMatmulHeuristics")
    except ImportError:
        return "not installed (pip install nvidia-matmul-heuristics; proprietary licence)"
    gpus = library.NvMatmulHeuristicsNvidiaGpu
    name = _GPUS.get(device)
    if name not in gpus.__members__:
        return f"it does not know {device}"
    return _times(library, gpus[name], data)


def _times(library: Any, gpu: Any, data: Dataset) -> NDArray[np.float64]:
    precision = _PRECISIONS[data.dtype]
    target = library.NvMatmulHeuristicsTarget["CUTLASS3" if 9000 <= int(gpu) < 12000 else "CUTLASS"]
    flags = library.NvMatmulHeuristicsFlags.PERF_MODEL_BASED_AUTO_TUNING
    handle = library.NvMatmulHeuristicsInterface(backend=target, precision=precision, flags=flags)
    atexit.register(setattr, handle, "handle", None)
    hardware = handle.createHardwareDescriptor()
    handle.setHardwarePredefinedGpu(hardware, gpu)
    for layout in {_ROW_MAJOR[nn] for nn in data.nn.tolist()}:
        handle.nvMatmulHeuristicsLoadInternalDiscoverySet(
            handle.handle, precision.encode(), ctypes.c_int(target), ctypes.c_int(layout), hardware
        )
    result = np.full(len(data), np.nan)
    for row, (m, n, k, nn) in enumerate(zip(data.m, data.n, data.k, data.nn, strict=True)):
        problem = handle.makeNvMatmulHeuristicsProblem(int(m), int(n), int(k), _ROW_MAJOR[nn], 1)
        answer = handle.get(problem, 1, hardware)
        if answer:
            result[row] = answer[0]["runtime"]
    return result
