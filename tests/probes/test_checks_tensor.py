"""The checks of the mma.sync, ldmatrix, stmatrix and movmatrix probes see one wrong lane, zeros and another count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gpuprobe.estimate import Point
from gpuprobe.families import matrix_path, mma_host
from gpuprobe.families.mma_grid import check, chunk, instruction

from .probe_checks import points, probe

SEED = 987654321
MATRIX = ("mma_latency", "mma_rate", "mma_float", "mma_integer", "mma_fp8", "mma_sparse")
PATHS = ("ldmatrix_latency", "ldmatrix_rate", "stmatrix_latency", "stmatrix_rate", "movmatrix")


def sampled(name: str) -> list[Point]:
    """A few points of a probe, one for each set of the first axes."""
    found: dict[object, Point] = {}
    for point in points(name):
        found.setdefault(tuple(point.without("PASSES", "WARPS").items()), point)
    return list(found.values())


def right_answer(point: Point, name: str, seed: int) -> np.ndarray:
    """The words of every warp, as the probe's own model has them."""
    params = dict(point.params)
    warps = point.grid * point.block // 32
    if name in MATRIX:
        mma = instruction(params)
        steps, chains = (point.iters * int(params["CHAIN"]), 1) if "CHAIN" in params else (0, int(params["ILP"]))
        steps = steps or point.iters * chunk(mma) // chains
        one = mma_host.mma_words(mma.name, seed, steps, chains)
    else:
        count, trans = int(params.get("X", 1)), bool(params.get("TRANS", 0))
        one = {
            "ldmatrix_latency": lambda: matrix_path.chased(point.iters * 32, count),
            "ldmatrix_rate": lambda: matrix_path.loaded_sums(point.iters, 16, count, trans=trans, seed=seed),
            "stmatrix_latency": lambda: matrix_path.turned(point.iters * 15, count, trans=trans, seed=seed),
            "stmatrix_rate": lambda: matrix_path.stored(point.iters, count, trans=trans, seed=seed),
            "movmatrix": lambda: matrix_path.moved_sums(int(params.get("ILP", 1)), seed),
        }[name]()
    return np.tile(one.ravel(), warps)


@pytest.mark.parametrize("name", [*MATRIX, *PATHS])
def test_checks_see_one_wrong_lane_of_the_last_warp_and_zeros(name: str) -> None:
    one = probe(name)
    assert one.check is not None
    for point in sampled(name):
        seed = 0 if point.zero else SEED
        answer = right_answer(point, name, seed)
        assert one.check(point, seed, answer.tobytes()) is None
        wrong = answer.copy()
        wrong[-1 if name == "movmatrix" else -4] ^= 1
        assert one.check(point, seed, wrong.tobytes()) is not None
        assert point.zero or one.check(point, seed, bytes(4 * answer.size)) is not None


@pytest.mark.parametrize(
    "name", ["ldmatrix_latency", "ldmatrix_rate", "stmatrix_latency", "stmatrix_rate", "mma_integer"]
)
def test_checks_see_a_pass_too_many_or_too_few(name: str) -> None:
    one = probe(name)
    assert one.check is not None
    for point in [point for point in sampled(name) if not point.zero]:
        for iters in (point.iters - 1, point.iters + 1):
            answer = right_answer(replace(point, iters=iters), name, SEED)
            assert one.check(point, SEED, answer.tobytes()) is not None, dict(point.params)


def test_the_shared_check_is_that_of_every_grid() -> None:
    assert all(probe(name).check is check for name in MATRIX if name != "mma_latency")
