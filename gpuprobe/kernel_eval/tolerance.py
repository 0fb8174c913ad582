"""How far an output may lie from the truth: stated per dtype, widened by what reference and rounding lose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.kernel_eval.findings import Finding

RELATIVE: Final[Mapping[str, float]] = {
    "float64": 1e-9,
    "float32": 1e-4,
    "float16": 4e-3,
    "bfloat16": 2e-2,
}
"""Allowed |output - truth| / (|truth| + its root mean square), by dtype of the output."""
OTHER_DTYPE: Final = 0.1  # fp8 and the like: three bits of mantissa
REFERENCE_SHARE: Final = 3.0
"""Times the reference's own error against fp64 that is allowed on top."""
CONDITIONING_SHARE: Final = 4.0
"""Times the change of the outputs when every input moves by half a rounding error."""
VACUOUS: Final = 0.5
"""Where this much is allowed, a test says nothing."""
PRECISE: Final = 20.0
"""Times the reference's own error above which an output that passes is called less precise."""


def allowed(row: Mapping[str, Any]) -> float:
    """Largest error that an output with these measured errors may have (relative, as in RELATIVE)."""
    stated = RELATIVE.get(row["dtype"], OTHER_DTYPE)
    return stated + REFERENCE_SHARE * float(row["reference_error"]) + CONDITIONING_SHARE * float(row["conditioning"])


def examine(row: Mapping[str, Any], label: str) -> list[Finding]:
    """Findings of one output's errors; ``label`` says on which inputs."""
    if "exact" in row:
        return [] if row["exact"] else [Finding("wrong-values", f"{label}: {row['dtype']} output differs")]
    if row["poison"]:
        share = row["poison"] / max(1, row["elements"])
        return [Finding("unwritten-output", f"{label}: {share:.2%} of the output is NaN where the reference has none")]
    if row["nonfinite"]:
        return [
            Finding("wrong-nonfinite", f"{label}: {row['nonfinite']} elements are infinite or NaN on one side only")
        ]
    bound = allowed(row)
    if row["error"] > bound:
        return [Finding("wrong-values", f"{label}: relative error {row['error']:.2g}, allowed {bound:.2g}")]
    if bound >= VACUOUS and row["scale"] > 0.0:
        return [Finding("inconclusive", f"{label}: the task itself is so ill-conditioned that {bound:.2g} is allowed")]
    return []


Array = NDArray[np.float64]


def witness_misses(found: Array, expected: Array, scales: list[float], bounds: list[float]) -> NDArray[np.bool_]:
    """Which witnesses (calls x outputs x looks) are not what they must be; NaN must meet NaN."""
    scale = np.asarray(scales)[None, :, None]
    bound = np.asarray(bounds)[None, :, None]
    both_nan = np.isnan(found) & np.isnan(expected)
    with np.errstate(invalid="ignore"):
        near = np.abs(found - expected) <= bound * (np.abs(expected) + scale)
    misses: NDArray[np.bool_] = ~(near | both_nan | (found == expected))
    return misses


def decode(data: bytes, dtype: str, calls: int, looks: int) -> Array:
    """Witnesses of one output as float64 (calls x looks); bfloat16 is widened by its bits."""
    if dtype == "bfloat16":
        wide = np.frombuffer(data, dtype=np.uint16).astype(np.uint32) << 16
        values: Array = wide.view(np.float32).astype(np.float64)
    else:
        values = np.frombuffer(data, dtype=np.dtype(dtype)).astype(np.float64)
    return values.reshape(calls, looks)
