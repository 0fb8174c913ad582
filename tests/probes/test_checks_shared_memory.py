"""The checks of the probes of shared memory: bandwidth, bank conflicts, latency."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.estimate import Point

from .probe_checks import MASK, SEED, mix, probe, table, verdict


def shared_words(point: Point, seed: int) -> np.ndarray:
    """``out`` of shared_bandwidth.cu."""
    op, width = str(point["OP"]), int(point.number("WIDTH"))
    span = 16384 if op == "MIX" else 32768
    sums = np.zeros(1024, dtype=np.uint64)
    for thread in range(1024):
        stored = {}
        for pass_ in range(point.iters):
            for j in range(8):
                store = op == "ST" or (op == "MIX" and j % 2 == 1)
                at = thread * width + j * 1024 * width % span + (span if store and op == "MIX" else 0)
                if store:
                    tag = seed + pass_ & MASK
                    stored[j] = tag if width == 4 else tag ^ thread ^ (0 if width == 8 else thread ^ thread)
                else:
                    value = 0
                    for k in range(width // 4):
                        value ^= mix(at // 4 + k)
                    sums[thread] += value
        sums[thread] += sum(stored.values())
    return (sums & np.uint64(MASK)).astype(np.uint32)


@pytest.mark.parametrize("op", ["LD", "ST", "MIX"])
@pytest.mark.parametrize("width", [4, 8, 16])
def test_shared_bandwidth(op: str, width: int) -> None:
    one = probe("shared_bandwidth")
    point = Point(params=(("OP", op), ("WIDTH", width), ("PASSES", 3)), block=1024, iters=3)
    assert verdict(one, point, shared_words(point, SEED)) is None
    assert verdict(one, point, np.zeros(1024, dtype=np.uint32)) is not None
    for passes in (2, 4):
        assert verdict(one, point, shared_words(replace(point, iters=passes), SEED)) is not None


def conflict_words(point: Point, seed: int) -> np.ndarray:
    """``out`` of shared_conflicts.cu."""
    op, width = str(point["OP"]), int(point.number("WIDTH"))
    phase = 128 // width
    rows = []
    for ways in range(1, phase + 1):
        lane = ways % 32
        row, column = lane % phase, 0
        while row >= ways:
            row, column = row - ways, column + 1
        place = (lane // phase * ways + row) * 128 + column * width
        if op == "LATENCY":
            result = point.iters * int(point.number("CHAIN")) % 7 * 4096 + place
        elif op == "ST":
            tag = seed + point.iters - 1
            result = 7 * (tag if width == 4 else tag ^ lane)
        else:
            result = 0
            for j in range(7):
                value = 0
                for k in range(width // 4):
                    value ^= mix((place + 4096 * j) // 4 + k)
                result += value * point.iters
        rows.append((100, result & MASK))
    return table(rows)


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("op", ["LATENCY", "LD", "ST"])
def test_shared_conflicts(op: str, width: int) -> None:
    one = probe("shared_conflict_latency" if op == "LATENCY" else "shared_conflicts")
    point = Point(params=(("OP", op), ("WIDTH", width), ("CHAIN", 16)), iters=16)
    right = conflict_words(point, SEED)
    assert verdict(one, point, right) is None
    assert verdict(one, point, np.zeros_like(right)) is not None
    for passes in (15, 17):
        assert verdict(one, point, conflict_words(replace(point, iters=passes), SEED)) is not None


def test_shared_latency_ends_elsewhere_for_every_count() -> None:
    one = probe("shared_latency")
    point = Point(params=(("MODE", "DIRECT"), ("CHAIN", 16)), iters=256)
    steps = 256 * 16
    assert verdict(one, point, np.full(32, steps * 33 % 1021, dtype=np.uint32)) is None
    for wrong in (-16, -1, 1, 16):
        assert verdict(one, point, np.full(32, (steps + wrong) * 33 % 1021, dtype=np.uint32)) is not None
    assert verdict(one, point, np.zeros(32, dtype=np.uint32)) is not None
