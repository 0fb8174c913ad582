"""What an operation costs at least: floating-point operations, bytes moved once, and the arithmetic that does them."""

from __future__ import annotations

from dataclasses import dataclass

from gpuprobe.ops.gemm import Gemm


@dataclass(frozen=True)
class Cost:
    """``flop`` and least ``bytes`` of one operation; ``rate`` names the arithmetic: a GEMM type, or ``fp32`` outside.

    ``kind``: gemm, batched_gemm, attention, norm, softmax, elementwise or gather. ``gemm`` is set where one plain GEMM
    is all there is; ``assumed`` says what the shapes do not tell.
    """

    kind: str
    flop: int
    bytes: int
    rate: str
    gemm: Gemm | None = None
    assumed: str = ""
