"""The checks of the probes of atomics: what was there, what the words end as, who had the lock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.estimate import Point

from .probe_checks import POISON, assert_told, point, probe, verdict


@pytest.mark.parametrize("space", ["GLOBAL", "SHARED"])
@pytest.mark.parametrize(
    ("op", "steps_show"),
    [(op, True) for op in ("ADD_U32", "ADD_U64", "ADD_F32", "ADD_F16X2", "EXCH_U32")]
    + [(op, False) for op in ("MIN_U32", "CAS_U32", "CAS_U64")],
)
def test_atomics_return_what_was_there(op: str, steps_show: bool, space: str) -> None:
    def truth(at: Point) -> np.ndarray:
        kind = {"F32": np.float32, "F16X2": np.float16}.get(op.split("_")[1], np.uint64)
        word = np.array([{"ADD_F32": 0x3F800000, "ADD_F16X2": 0x00200010}.get(op, 1)], dtype=np.uint32)
        memory = word.view(kind) if kind is not np.uint64 else word.astype(np.uint64)
        x = memory + (4 if op in ("MIN_U32", "EXCH_U32") else 0)
        for _ in range(int(at["CHAIN"])):
            old = memory
            if op.startswith("ADD"):
                memory = memory + x
            elif op == "EXCH_U32":
                memory = x
            elif op == "MIN_U32":
                memory = np.minimum(memory, x)
            elif memory == x:
                memory = np.array([12345], dtype=np.uint64)
            x = old
        return np.array([int(x.view(np.uint32)[0]) * at.iters])

    assert_told("atomic_latency", point("atomic_latency", SPACE=space, OP=op, CHAIN=21), truth, steps_show=steps_show)


@pytest.mark.parametrize("op", ["REDG_ADD_U32", "REDG_ADD_F32", "REDG_ADD_F16X2", "ATOM_ADD_U32", "ATOM_CAS_U32"])
@pytest.mark.parametrize("size", [4, 4096])
def test_atomic_rate_words(op: str, size: int) -> None:
    at = replace(point("atomic_rate", OP=op, BYTES=size), grid=3, block=1000, iters=1)
    threads, count, sums = at.grid * at.block, size // 4, 1 << 15

    def truth(now: Point) -> np.ndarray:
        kind = {"F32": np.float32, "F16X2": np.float16}.get(op.rsplit("_", 1)[-1])
        words = np.full(count, POISON, dtype=np.uint32)
        old = np.zeros(threads, dtype=np.uint64)
        for thread in range(threads):
            for _ in range(8 * now.iters):
                old[thread] += int(words[thread % count])
                if op == "ATOM_CAS_U32":
                    continue
                value = words[thread % count : thread % count + 1]
                value[:] = value + np.uint32(1) if kind is None else (value.view(kind) + kind(1)).view(np.uint32)
        out = np.zeros(sums + 1, dtype=np.int64)
        out[:count] = words
        out[sums] = POISON + (int(old.sum()) if op.startswith("ATOM") else 0)
        return out

    assert verdict(probe("atomic_rate"), at, truth(at)) is None
    assert verdict(probe("atomic_rate"), at, np.zeros(sums + 1, dtype=int)) is not None
    if op != "REDG_ADD_F16X2" or size > 4:  # on one word a float16 sticks at 2048
        assert verdict(probe("atomic_rate"), at, truth(replace(at, iters=2))) is not None


@pytest.mark.parametrize("space", ["GLOBAL", "SHARED"])
def test_handoffs_are_counted_by_both(space: str) -> None:
    def truth(at: Point) -> np.ndarray:
        return np.array([POISON + 2 * at.iters if space == "GLOBAL" else POISON, at.iters, at.iters, 3, 69])

    assert_told("atomic_handoff", point("atomic_handoff", SPACE=space), truth, steps_show=False)


@pytest.mark.parametrize("op", ["ADD_U32", "ADD_F32"])
@pytest.mark.parametrize("count", [1, 32, 1024])
def test_shared_atomic_words(op: str, count: int) -> None:
    at = replace(point("shared_atomic_rate", OP=op, WORDS=count), grid=2)

    def truth(now: Point) -> np.ndarray:
        row = np.zeros(1024, dtype=np.float32 if op == "ADD_F32" else np.uint32)
        np.add.at(row, np.arange(1024 * 8 * now.iters) % 1024 % count, row.dtype.type(1 if op == "ADD_F32" else 3))
        return np.tile(row.view(np.uint32), 2)

    assert_told("shared_atomic_rate", at, truth, steps_show=False)


def test_a_compare_that_never_matches_leaves_the_words() -> None:
    at = replace(point("shared_atomic_rate", OP="CAS_U32", WORDS=32), grid=2)
    assert verdict(probe("shared_atomic_rate"), at, np.zeros(2048, dtype=int)) is None
    assert verdict(probe("shared_atomic_rate"), at, np.eye(1, 2048, 5, dtype=int)[0]) is not None
