"""How matrix instructions add, bit for bit: models fitted to what a GPU computed, for use on any machine.

``HOPPER`` holds the models found on an H100, by instruction and operand type. For example, what wgmma makes of e4m3
operands::

    from gpuprobe.numerics import HOPPER, OPERANDS, Vectors

    bits = HOPPER["wgmma"]["E4M3"].results(Vectors(a, b, c), OPERANDS["E4M3"])

with ``a`` and ``b`` (vectors x 32) and ``c`` (vectors) as uint64 arrays of bit patterns.
"""

from __future__ import annotations

from collections.abc import Mapping

from gpuprobe.numerics.fit import Findings, findings
from gpuprobe.numerics.model import Fused, Model, Places, Sequential
from gpuprobe.numerics.vectors import OPERANDS, Operands, Vectors, designed_vectors, random_vectors

__all__ = [
    "HOPPER",
    "OPERANDS",
    "Findings",
    "Fused",
    "Model",
    "Operands",
    "Sequential",
    "Vectors",
    "designed_vectors",
    "findings",
    "random_vectors",
]


def _whole(k: int) -> Places:
    """All of k at once."""
    return (tuple(range(k)),)


def _by_twos() -> Places:
    """FP8 mma.sync on sm_90: two HMMA, of the k that leave 0 or 1 and of those that leave 2 or 3 over 4."""
    return tuple(tuple(k for k in range(32) if k % 4 // 2 == part) for part in (0, 1))


_WIDE: Mapping[str, Model] = {
    "F16": Fused(_whole(16), 25, 23, "truncate"),
    "F16_F16": Fused(_whole(16), 25, 10, "nearest"),
    "BF16": Fused(_whole(16), 25, 23, "truncate"),
    "TF32": Fused(_whole(8), 25, 23, "truncate"),
}
_EMULATED = Fused(_by_twos(), 25, 23, "truncate", separate=True)
HOPPER: Mapping[str, Mapping[str, Model]] = {
    "mma": {**_WIDE, "E4M3": _EMULATED, "E5M2": _EMULATED, "F64": Sequential()},
    "wgmma": {
        **_WIDE,
        "E4M3": Fused(_whole(32), 13, 13, "truncate"),
        "E4M3_F16": Fused(_whole(32), 13, 10, "nearest"),
        "E5M2": Fused(_whole(32), 13, 13, "truncate"),
    },
}
"""Models of H100 (sm_90), by instruction and operand type."""
