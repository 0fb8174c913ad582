"""Warp-wide matrix instructions (mma.sync, mma.sp) by name: shape, types, opcode. Their arithmetic is in mma_host.

A name is that of the row in ``microbench/tensor/mma.cuh``: ``F16_F32_M16N8K8`` (operands, accumulators, shape),
``E4M3_E5M2_F32_M16N8K32`` (two operand types), ``B1_AND_M16N8K256`` (with its operation), ``SP_S8_M16N8K64`` (2:4
sparse); ``F16`` and ``BF16`` stand for the m16n8k16 shape with FP32 accumulators.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from gpuprobe.errors import GpuprobeError

N = 8
INTEGERS = ("S8", "S4", "B1")
FP8 = ("E4M3", "E5M2")
_SHORT = {"F16": "F16_F32_M16N8K16", "BF16": "BF16_F32_M16N8K16"}
_NAME = re.compile(r"(SP_)?([A-Z0-9]+(?:_[A-Z0-9]+)*)_M(8|16)N8K(\d+)")
_BITS = {"F64": 64, "TF32": 32, "F16": 16, "BF16": 16, "S8": 8, "E4M3": 8, "E5M2": 8, "S4": 4, "B1": 1}


@dataclass(frozen=True)
class Mma:
    """One instruction: ``m`` x 8 x ``k``, types of A, B and the accumulators, ``operation`` of b1 (AND, XOR)."""

    name: str
    m: int
    k: int
    a: str
    b: str
    c: str
    operation: str = ""
    sparse: bool = False

    @property
    def fma(self) -> int:
        """Multiply-adds of one instruction; with 2:4 sparsity those of the dense product it stands for."""
        return self.m * N * self.k

    @property
    def integer(self) -> bool:
        """Whether it multiplies integers, whose rate is counted in op/s."""
        return self.a in INTEGERS

    @property
    def coarse(self) -> bool:
        """Whether its random operands are 0.5, 0.75, 1 and 1.5 of either sign, so that no sum is rounded."""
        return self.a in FP8 or self.c == "F16"

    @property
    def bits(self) -> int:
        """Bits of one operand element."""
        return _BITS[self.a]

    @property
    def stored_k(self) -> int:
        """Elements along k that the registers of A hold."""
        return self.k // 2 if self.sparse else self.k

    @property
    def opcode(self) -> str:
        """What its native SASS opcode begins with (that of FP64 is spelt in two ways)."""
        shape = f"{'SP.' if self.sparse else ''}{self.m}{N}{self.k}"
        if self.a == "F64":
            return "DMMA"
        if self.a == "B1":
            return f"BMMA.{shape}.{self.operation}.POPC"
        if self.integer:
            return f"IMMA.{shape}.{self.a}.{self.b}"
        if self.a in FP8:
            return f"QMMA.{shape}.{self.c}.{self.a}.{self.b}"
        return f"HMMA.{shape}.{self.c}{'' if self.a == 'F16' else '.' + self.a}"


@cache
def parse(name: str) -> Mma:
    """The instruction called ``name``; GpuprobeError where there can be none."""
    match = _NAME.fullmatch(_SHORT.get(name, name))
    kinds = match[2].split("_") if match else []
    if match is None or kinds[0] not in _BITS or len(kinds) > 3:
        raise GpuprobeError(f"'{name}' names no matrix instruction", "see the table in microbench/tensor/mma.cuh")
    a, integer = kinds[0], kinds[0] in INTEGERS
    return Mma(
        name,
        m=int(match[3]),
        k=int(match[4]),
        a=a,
        b=kinds[1] if len(kinds) == 3 else a,
        c="S32" if integer else kinds[-1],
        operation=kinds[1] if a == "B1" else "",
        sparse=match[1] is not None,
    )
