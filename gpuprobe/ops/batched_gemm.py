"""Equal GEMMs side by side: C[i] = A[i] · B[i] for i in a batch, as ``torch.bmm`` computes them."""

from __future__ import annotations

from dataclasses import dataclass

from gpuprobe.ops.gemm import Gemm


@dataclass(frozen=True)
class BatchedGemm:
    """``batch`` times the same GEMM on operands of their own."""

    batch: int
    gemm: Gemm

    @property
    def flop(self) -> int:
        """Multiplications and additions of the whole batch."""
        return self.batch * self.gemm.flop

    @property
    def bytes(self) -> int:
        """Least traffic: every operand read once, every result written once."""
        return self.batch * self.gemm.bytes
