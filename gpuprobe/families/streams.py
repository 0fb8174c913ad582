"""Host twin of the streaming kernels (``microbench/memory/stream.cuh``): what a thread's word in ``out`` must be.

A reader's word is the sum of all it read, in every pass; a writer's that of a few vectors it reads back at the end,
which hold the number of the last pass. Threads are taken by the seed, so that over the samples of a run all parts are
looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpuprobe.estimate import Point
from gpuprobe.operands import mix, mixed, words

Words = NDArray[np.uint32]

PARTS = {"COPY": 2, "TRIAD": 3}
READERS = ("READ", "READ_ALL")
READ_BACK = 4
THREADS = 4
"""Threads looked at in one sample."""


@dataclass(frozen=True)
class Windows:
    """The sets that every pass goes over: how many, and at how many places each may lie."""

    count: int = 1
    spread: int = 1


WHOLE = Windows()
"""The working set is one set."""


@dataclass(frozen=True)
class Stream:
    """One launch: its mode, accesses in flight a thread, threads, blocks, passes, vectors a part, sets and seed."""

    mode: str
    unroll: int
    block: int
    grid: int
    passes: int
    count: int
    windows: Windows
    seed: int

    @classmethod
    def of(cls, point: Point, seed: int, windows: Windows = WHOLE) -> Stream:
        """The launch of ``point`` with ``seed``, whose working set holds ``windows``."""
        mode = str(point["MODE"])
        count = point.data_bytes // (windows.count * windows.spread) // 16 // PARTS.get(mode, 1)
        return cls(mode, int(point["UNROLL"]), point.block, point.grid, point.iters, count, windows, seed)

    @property
    def moved(self) -> float:
        """Bytes read plus bytes written by the whole launch."""
        readers = self.grid if self.mode == "READ_ALL" else 1
        each = 16 * self.tiles * self.block * self.unroll * PARTS.get(self.mode, 1)
        return float(each * self.passes * self.windows.count * readers)

    def first(self, window: int) -> int:
        """First vector of a set."""
        place = window * self.windows.spread + mix(self.seed + window & 0xFFFFFFFF) % self.windows.spread
        return place * self.count * PARTS.get(self.mode, 1)

    @property
    def tiles(self) -> int:
        """Tiles of ``block`` x ``unroll`` vectors in a part."""
        return self.count // (self.block * self.unroll)

    def word(self, block: int, thread: int) -> int:
        """What ``thread`` of ``block`` stores in ``out``, modulo 2**32."""
        places = np.arange(self.tiles) if self.mode == "READ_ALL" else np.arange(block, self.tiles, self.grid)
        if self.mode in READERS:
            indices = self._indices(places, thread)
            read = [int(_fold(_vectors(self.first(w) + indices)).sum()) for w in range(self.windows.count)]
            return sum(read) * self.passes & 0xFFFFFFFF
        if len(places) == 0:
            return 0
        found = 0
        for k in range(READ_BACK):
            place = places[[mix(self.seed + k & 0xFFFFFFFF) % len(places)]]
            window = (self.seed + k & 0xFFFFFFFF) % self.windows.count
            found += int(_fold(self._written(window, place, thread)).sum())
        return found & 0xFFFFFFFF

    def _indices(self, places: NDArray[np.int64], thread: int) -> NDArray[np.int64]:
        """Vectors of ``thread`` in the tiles ``places``, counted from the start of a part."""
        steps = np.arange(self.unroll) * self.block + thread
        return (places[:, np.newaxis] * self.block * self.unroll + steps).ravel()

    def _written(self, window: int, places: NDArray[np.int64], thread: int) -> Words:
        """The vectors that the last pass wrote there, as four rows."""
        tag = np.uint32(self.seed + self.passes - 1 & 0xFFFFFFFF)
        indices = self.first(window) + self._indices(places, thread)
        if self.mode == "WRITE":
            rows = np.repeat(places, self.unroll).astype(np.uint32)
            same = np.ones_like(rows)
            return np.stack([same * tag, rows, same * np.uint32(thread), same * np.uint32(0x9E3779B9)])
        read = _vectors(indices)
        if self.mode == "COPY":
            read[0] += tag
            return read
        result: Words = read + tag * _vectors(indices + self.count)
        return result


def _vectors(indices: NDArray[np.int64]) -> Words:
    """What ``prepare`` stores in vectors ``indices``, as four rows."""
    i = indices.astype(np.uint32)
    return np.stack([mixed(i), mixed(i * np.uint32(3)), mixed(i * np.uint32(7)), i])


def _fold(vectors: Words) -> NDArray[np.uint64]:
    folded: NDArray[np.uint64] = (vectors[0] ^ vectors[1] ^ vectors[2] ^ vectors[3]).astype(np.uint64)
    return folded


def check(point: Point, seed: int, out: bytes, windows: Windows = WHOLE) -> str | None:
    """Reason where one of a few threads, taken by the seed, did not store what the host computes."""
    stream = Stream.of(point, seed, windows)
    found = words(out)
    workers = point.grid if stream.mode == "READ_ALL" else min(point.grid, stream.tiles)
    for k in range(THREADS):
        block, thread = mix(seed + 100 + k & 0xFFFFFFFF) % workers, mix(seed + 200 + k & 0xFFFFFFFF) % point.block
        wanted = stream.word(block, thread)
        got = int(found[block * point.block + thread])
        if got != wanted:
            return f"thread {thread} of block {block} computed {got:#x}, the host {wanted:#x}"
    return None
