"""What ldmatrix, stmatrix and movmatrix move between lanes and shared memory, for host checks (matrix_path.cuh).

A matrix is 8 x 8 elements of 16 bits: 32 words, word i being row i // 4, elements 2 (i % 4) and the next. In
registers lane i holds word i; in shared memory the words follow each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gpuprobe import bounds
from gpuprobe.estimate import Point, rate_per_sm
from gpuprobe.families.mma_host import expect_warps, hashed
from gpuprobe.gate import Expect
from gpuprobe.operands import words as words_of
from gpuprobe.probe import Launch, Probe, sm_count
from gpuprobe.record import Params

Words = NDArray[np.uint32]
STARTS, TILES, TILE_WORDS = 8, 7, 128
MOVES = 16
"""Tiles that a warp loads or stores in one pass of a rate probe."""


def transposed(words: Words) -> Words:
    """Matrices (32 words along the last axis) with rows and columns changed."""
    halves = np.ascontiguousarray(words).view(np.uint16).reshape(*words.shape[:-1], 8, 8)
    turned = np.ascontiguousarray(np.swapaxes(halves, -1, -2))
    return turned.reshape(*words.shape[:-1], 64).view(np.uint32)


def _in_registers(matrices: Words, count: int) -> Words:
    """What lanes hold of four matrices (4 x 32), as stored: 32 x 4, zero from ``count`` on."""
    held = matrices.copy()
    held[count:] = 0
    return np.ascontiguousarray(held.T)


def chased(steps: int, count: int) -> Words:
    """Where a chain of ldmatrix ends, 32 x 4 bytes from the first tile."""
    tile = np.uint32(steps % TILES * 4 * TILE_WORDS)
    ends = tile + np.arange(32, dtype=np.uint32) * np.uint32(16)
    return _in_registers(np.tile(ends, (4, 1)), count)


def loaded_sums(passes: int, loads: int, count: int, *, trans: bool, seed: int) -> Words:
    """Sums of all that a warp loads in ``passes`` of ``loads`` tiles, beginning at tile pass % STARTS."""
    tiles = hashed(np.arange((STARTS + loads) * TILE_WORDS, dtype=np.uint32), seed).reshape(-1, 4, 32)
    tiles = transposed(tiles) if trans else tiles
    begun = np.array([passes // STARTS + (start < passes % STARTS) for start in range(STARTS)], dtype=np.uint64)
    sums = sum(tiles[start : start + loads].astype(np.uint64).sum(axis=0) * begun[start] for start in range(STARTS))
    return _in_registers((np.asarray(sums) & np.uint64(0xFFFFFFFF)).astype(np.uint32), count)


def stored(passes: int, count: int, *, trans: bool, seed: int) -> Words:
    """What the last of ``passes`` leaves in each tile, as the lanes read it."""
    matrices = hashed(np.arange(TILE_WORDS, dtype=np.uint32), seed).reshape(4, 32) + np.uint32(
        (passes - 1) & 0xFFFFFFFF
    )
    return _in_registers(transposed(matrices) if trans else matrices, count)


def turned(steps: int, count: int, *, trans: bool, seed: int) -> Words:
    """Matrices after ``steps`` round trips, each of which moves every row (with ``trans`` every column) up by one."""
    matrices = hashed(np.arange(TILE_WORDS, dtype=np.uint32), seed).reshape(4, 32)
    halves = matrices.view(np.uint16).reshape(4, 8, 8)
    moved = np.ascontiguousarray(np.roll(halves, -steps, axis=2 if trans else 1))
    return _in_registers(moved.reshape(4, 64).view(np.uint32), count)


def moved_sums(chains: int, seed: int) -> Words:
    """Sum over chains of what a lane holds after an odd number of movmatrix: each transposed once."""
    first = hashed(np.arange(chains * 32, dtype=np.uint32), seed).reshape(chains, 32)
    return np.asarray(transposed(first).sum(axis=0, dtype=np.uint32))


def rate_probe(
    name: str, opcode: str, define: str, wanted: Callable[[Point, int], Words], *, covers: Sequence[int], archs: str
) -> Probe:
    """The probe of the rate of ``opcode`` (LDSM, STSM) x1, x2 and x4, plain and .trans: MOVES tiles a pass and warp.

    ``define`` tells the kernel MOVES; ``wanted`` gives the words that a warp stores, by point and seed.
    """

    def moved(point: Point) -> float:
        """Bytes that one SM moves in one sample."""
        return float(point.iters * MOVES * int(point["WARPS"]) * int(point["X"]) * 128)

    def check(point: Point, seed: int, out: bytes) -> str | None:
        return expect_warps(words_of(out)[: point.grid * point.block * 4], wanted(point, seed))

    def expect(params: Params) -> Expect:
        name = f"{opcode}.16.{'MT88' if params['TRANS'] else 'M88'}" + ("" if params["X"] == 1 else f".{params['X']}")
        return Expect(loop=True, counts={name: MOVES}, native=(name,))

    return Probe(
        name=name,
        unit="B/cycle/SM",
        quantity="rate",
        archs=archs,
        defines={"X": [1, 2, 4], "TRANS": [0, 1], define: [MOVES]},
        axes={"WARPS": [1, 4, 16], "PASSES": [1, 3]},
        quick={"X": [4], "WARPS": [16]},
        launch=Launch(
            grid=sm_count,
            block=lambda p, d: 32 * int(p["WARPS"]),
            iters=lambda p, d: int(p["PASSES"]) * 440_000 // (MOVES * max(int(p["WARPS"]) * int(p["X"]), 8)),
        ),
        expect=expect,
        estimate=rate_per_sm(moved, "B/cycle/SM"),
        bound=bounds.shared_port,
        check=check,
        out_words=192 * 512 * 4,
        best_over=("WARPS",),
        covers=covers,
    )
