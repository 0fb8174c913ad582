"""The GEMM C[m,n] = A[m,k] · B[k,n]: its types, layouts, FLOPs, bytes, and what torch can run of it.

Layout ``tn``: B is given as n×k row-major and used transposed, as in a linear layer; ``nn``: B is k×n row-major.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gpuprobe.errors import GpuprobeError

LAYOUTS: Final = ("tn", "nn")
REGIMES: Final = ("hot", "cold", "sustained")
UNSURE: Final = "unsure"
"""Family of the rows of a sweep that a predictor's doubt chose: no fair sample."""
LARGEST_DIMENSION: Final = 2**31 - 1


@dataclass(frozen=True)
class Dtype:
    """A GEMM type: bytes of an input and an output element, and the limits of torch's entry point for it.

    ``multiple`` is what n and k must be multiples of, ``least_m`` the smallest m, ``layouts`` those it takes.
    ``splits_k`` says whether the library splits k where tiles of C do not fill the GPU.
    """

    name: str
    input_bytes: int
    output_bytes: int
    entry: str = "torch.mm"
    multiple: int = 1
    least_m: int = 1
    layouts: tuple[str, ...] = LAYOUTS
    splits_k: bool = True

    @property
    def aligned(self) -> int:
        """What n and k must be multiples of for the library's main kernels: 16 bytes of inputs."""
        return 16 // self.input_bytes


DTYPES: Final = {
    dtype.name: dtype
    for dtype in (
        Dtype("bf16", 2, 2),
        Dtype("fp16", 2, 2),
        Dtype("tf32", 4, 4),
        Dtype("fp32", 4, 4),
        Dtype("fp8", 1, 2, "torch._scaled_mm", multiple=16, layouts=("tn",)),
        Dtype("int8", 1, 4, "torch._int_mm", multiple=8, least_m=17, splits_k=False),
    )
}


@dataclass(frozen=True, order=True)
class Gemm:
    """One GEMM problem; ``dtype`` is a key of DTYPES, ``layout`` one of LAYOUTS."""

    m: int
    n: int
    k: int
    dtype: str = "bf16"
    layout: str = "tn"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise GpuprobeError(f"unknown GEMM type '{self.dtype}'", f"use one of: {', '.join(DTYPES)}")
        if self.layout not in LAYOUTS:
            raise GpuprobeError(f"unknown GEMM layout '{self.layout}'", f"use one of: {', '.join(LAYOUTS)}")
        for name, size in (("m", self.m), ("n", self.n), ("k", self.k)):
            if not 1 <= size <= LARGEST_DIMENSION:
                raise GpuprobeError(f"GEMM dimension {name} = {size}", f"give 1 to {LARGEST_DIMENSION}")

    @property
    def flop(self) -> int:
        """Multiplications and additions: 2·m·n·k."""
        return 2 * self.m * self.n * self.k

    @property
    def operand_bytes(self) -> int:
        """Bytes of A and B together, each once."""
        return (self.m * self.k + self.k * self.n) * DTYPES[self.dtype].input_bytes

    @property
    def output_bytes(self) -> int:
        """Bytes of C, once."""
        return self.m * self.n * DTYPES[self.dtype].output_bytes

    @property
    def bytes(self) -> int:
        """Least traffic with memory: A and B read once, C written once."""
        return self.operand_bytes + self.output_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in FLOP per byte of least traffic."""
        return self.flop / self.bytes


def unsupported(gemm: Gemm) -> str:
    """Why torch has no kernel for this GEMM, or an empty string where it has."""
    dtype = DTYPES[gemm.dtype]
    if gemm.layout not in dtype.layouts:
        return f"{dtype.entry} takes only layout {' or '.join(dtype.layouts)}"
    if gemm.m < dtype.least_m:
        return f"{dtype.entry} needs m >= {dtype.least_m}"
    if gemm.n % dtype.multiple or gemm.k % dtype.multiple:
        return f"{dtype.entry} needs n and k to be multiples of {dtype.multiple}"
    return ""
