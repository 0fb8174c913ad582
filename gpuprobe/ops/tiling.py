"""A tiled GEMM kernel's configuration: tile, order of tiles, warps and pipeline stages, and what it asks of an SM."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gpuprobe.errors import GpuprobeError

FORMS: Final = ("triton-matmul", "triton-persistent")
"""``triton-matmul``: a block a tile, loads by pointers (Triton tutorial 03); ``triton-persistent``: a block an SM walks
the tiles, loads by TMA (tutorial 09)."""
INPUT_BYTES: Final = {"bf16": 2, "fp16": 2, "fp8": 1}
SHARED_BYTES: Final = 232_448
"""Most shared memory of a block on Hopper: 227 KiB (CUDA C++ Programming Guide, compute capability 9.0)."""
_ACCUMULATORS = 256  # FP32 accumulators a thread beyond which every compiler spills


class Tiling(NamedTuple):
    """Tile BM×BN of C, BK of k a pipeline stage, GM tile rows walked together, warps a block, pipeline stages."""

    bm: int
    bn: int
    bk: int
    gm: int
    warps: int
    stages: int

    def shared_bytes(self, input_bytes: int) -> int:
        """Bytes that the pipeline holds of A and B."""
        return self.stages * self.bk * (self.bm + self.bn) * input_bytes

    @property
    def accumulators(self) -> int:
        """FP32 accumulators of a thread."""
        return self.bm * self.bn // (32 * self.warps)

    def is_possible(self, input_bytes: int, shared_bytes: int = SHARED_BYTES) -> bool:
        """Whether it fits an SM: shared memory, and accumulators in registers."""
        return self.shared_bytes(input_bytes) <= shared_bytes and 1 <= self.accumulators <= _ACCUMULATORS


_AXES: Final = ((16, 32, 64, 128, 256), (32, 64, 128, 256), (32, 64, 128), (1, 4, 8), (4, 8), (2, 3, 4, 5))


def every(input_bytes: int) -> Iterator[Tiling]:
    """Every possible configuration of the grid that tuners search."""
    return (t for t in itertools.starmap(Tiling, itertools.product(*_AXES)) if t.is_possible(input_bytes))


def sample(count: int, dtype: str, seed: int) -> list[Tiling]:
    """``count`` configurations drawn from ``every`` without return; the same for the same seed."""
    pool = sorted(every(input_bytes(dtype)))
    return random.Random(f"{dtype}/{seed}").sample(pool, min(count, len(pool)))


def input_bytes(dtype: str) -> int:
    """Bytes of an input element; GpuprobeError for a type that no kernel here has."""
    if dtype not in INPUT_BYTES:
        raise GpuprobeError(f"no tiled kernel takes '{dtype}'", f"use one of: {', '.join(INPUT_BYTES)}")
    return INPUT_BYTES[dtype]


def read(values: Sequence[int]) -> Tiling:
    """A configuration from six whole numbers; GpuprobeError where they are none."""
    if len(values) != 6 or any(not isinstance(value, int) or value < 1 for value in values):
        raise GpuprobeError(f"{list(values)} is no tiling", "give BM, BN, BK, GM, warps, stages, whole numbers from 1")
    return Tiling(*values)
