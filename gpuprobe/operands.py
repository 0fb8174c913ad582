"""Host twins of what probes compute on the device: the mixing function, operands, and the random lap of a chase.

Each matches its CUDA counterpart bit for bit (``microbench/probe.cuh``, ``microbench/memory/chase.cuh``), so that a
kernel's results can be checked exactly, or to the rounding of its accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MASK = 0xFFFFFFFF


def mix(x: int) -> int:
    """A 32-bit mix with full avalanche (lowbias32 by C. Wellons)."""
    x ^= x >> 16
    x = x * 0x7FEB352D & MASK
    x ^= x >> 15
    x = x * 0x846CA68B & MASK
    return x ^ x >> 16


def mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """``mix`` of every element."""
    x = x ^ x >> np.uint32(16)
    x = x * np.uint32(0x7FEB352D)
    x = x ^ x >> np.uint32(15)
    x = x * np.uint32(0x846CA68B)
    result: NDArray[np.uint32] = x ^ x >> np.uint32(16)
    return result


@dataclass(frozen=True)
class Lap:
    """A random cycle through ``lines`` lines: after place(i) comes place(i + 1). See chase.cuh."""

    lines: int

    @property
    def half_bits(self) -> int:
        """Half the width of the Feistel network."""
        half = 1
        while 1 << (2 * half) < self.lines:
            half += 1
        return half

    def place(self, index: int) -> int:
        """The line at position ``index`` of the lap."""
        half = self.half_bits
        x = self._feistel(index % self.lines, half)
        while x >= self.lines:
            x = self._feistel(x, half)
        return x

    @staticmethod
    def _feistel(x: int, half: int) -> int:
        mask = (1 << half) - 1
        left, right = x >> half, x & mask
        for turn in range(1, 5):
            left, right = right, left ^ (mix((right + turn * 0x9E3779B9) & MASK) & mask)
        return left << half | right


def operand(index: NDArray[np.uint32], seed: int) -> NDArray[np.float32]:
    """About standard normal numbers for elements ``index``, exact in FP32; zeros for seed 0."""
    if seed == 0:
        return np.zeros(index.shape, dtype=np.float32)
    x = mixed(index.astype(np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed))
    total = sum((x >> np.uint32(shift) & np.uint32(255)).astype(np.int32) for shift in (0, 8, 16, 24))
    return (np.asarray(total - 510, dtype=np.float32) / np.float32(128.0)).astype(np.float32)


def rounded(values: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """``values`` rounded to f16 or bf16 (nearest even), as FP64."""
    if kind == "F16":
        return values.astype(np.float16).astype(np.float64)
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> np.uint64(16) & np.uint64(1))) & np.uint64(0xFFFF0000)
    return nearest.astype(np.uint32).view(np.float32).astype(np.float64)


def words(out: bytes) -> NDArray[np.uint32]:
    """The kernel's ``out`` as 32-bit words."""
    return np.frombuffer(out, dtype=np.uint32)


def floats(out: bytes) -> NDArray[np.float32]:
    """The kernel's ``out`` as FP32 numbers."""
    return np.frombuffer(out, dtype=np.float32)


def expect_all(found: NDArray[np.uint32], wanted: int) -> str | None:
    """Reason where a word of ``found`` is not ``wanted``."""
    wrong = np.flatnonzero(found != np.uint32(wanted))
    if wrong.size == 0:
        return None
    return f"the kernel computed {int(found[wrong[0]]):#x} where the host computes {wanted:#x} (word {int(wrong[0])})"


def expect_close(found: NDArray[np.float32], wanted: NDArray[np.float64], relative: float) -> str | None:
    """Reason where ``found`` strays from ``wanted`` by more than ``relative`` of the largest magnitude."""
    scale = float(np.abs(wanted).max()) if wanted.size else 0.0
    error = np.abs(found.astype(np.float64) - wanted)
    if np.all(error <= relative * scale):  # NaN compares false, so it never passes
        return None
    worst = int(np.argmax(np.nan_to_num(error, nan=np.inf)))
    return f"the kernel computed {found.flat[worst]:.6g} where the host computes {wanted.flat[worst]:.6g}"
