"""What the grids of mma.sync over warps and chains measure: knee, latency, throughput, lengths of samples."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import arch, bounds, device
from gpuprobe.estimate import Estimate, Point
from gpuprobe.families.grid import knee, where
from gpuprobe.families.mma_grid import Grid, is_full
from gpuprobe.mma import parse
from gpuprobe.record import Sample

from .probe_checks import points, probe


def a_round(rate_of: dict[tuple[int, int], float], name: str = "F16") -> dict[Point, Sample]:
    """Samples in which warps x chains reach the given rates, FMA per cycle of an SM."""
    fma = parse(name).fma
    taken = {}
    for (warps, chains), rate in rate_of.items():
        for turn in (1, 3):
            params = (("TYPE", name), ("ILP", chains), ("WARPS", warps), ("OPERANDS", "random"), ("PASSES", turn))
            point = Point(params=params, grid=2, block=32 * warps, iters=100 * turn)
            cycles = 100 * turn * 64 * warps * fma / rate + 500
            taken[point] = Sample(cycles, cycles, cycles * 1e-9, 0.0, 1e9)
    return taken


def of(found, quantity):
    return [one for one in found if one.quantity == quantity]


def test_the_knee_is_the_fewest_chains_near_the_peak() -> None:
    rates = {(1, 1): 85.0, (4, 1): 340.0, (8, 1): 680.0, (16, 1): 1305.0, (8, 2): 1280.0, (16, 4): 1340.0}
    (found,) = of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates)), "knee")
    assert (found.value, found.unit, dict(found.params)) == (16.0, "MMA/SM", {"TYPE": "F16", "OPERANDS": "random"})
    assert of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round({**rates, (16, 1): 1299.0})), "knee")[0].value == 64.0


def test_a_grid_of_three_points_has_no_knee() -> None:
    assert (
        of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round({(1, 1): 85.0, (4, 4): 1300.0, (16, 4): 1340.0})), "knee")
        == []
    )


@settings(max_examples=30)
@given(st.lists(st.floats(1.0, 2000.0), min_size=4, max_size=12), st.floats(0.5, 0.999))
def test_the_knee_reaches_its_share_and_nothing_smaller_does(rates: list[float], share: float) -> None:
    grid = {(warps, 1): rate for warps, rate in enumerate(rates, start=1)}
    fma = parse("F16").fma
    (found,) = knee(lambda p: p.iters * 64.0 * p.number("WARPS") * fma, unit="MMA/SM", share=share)(a_round(grid))
    reached = [warps for (warps, _), rate in grid.items() if rate >= share * max(rates) * (1 - 1e-9)]
    assert found.value == min(reached) or rates[int(found.value) - 1] == pytest.approx(share * max(rates))


def test_latency_is_that_of_one_warp_with_one_chain() -> None:
    rates = {(1, 1): 2048 / 24.0, (4, 1): 340.0, (16, 4): 1340.0}
    found = Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates))
    (latency,) = of(found, "latency")
    assert latency.value == pytest.approx(24.0)
    assert latency.params["WARPS"] == latency.params["ILP"] == 1
    assert {one.params["WARPS"] for one in of(found, "throughput")} == {16}
    assert of(found, "throughput")[0].unit == "FLOP/s"
    assert of(Grid(("F16", "S8_M16N8K32")).estimates()(a_round(rates, "S8_M16N8K32")), "throughput")[0].unit == "op/s"


def test_where_leaves_the_other_points_out() -> None:
    seen: list[int] = []

    def estimator(round_):
        seen.append(len(round_))
        return []

    where(lambda p: p["WARPS"] == 1, estimator)(a_round({(1, 1): 1.0, (2, 1): 1.0}))
    assert seen == [2]


def test_long_samples_take_about_half_a_millisecond_a_stretch_and_the_others_less() -> None:
    spec = device.load("h100-sxm")
    params = {"MMA": "S8_M16N8K32", "ILP": 4, "WARPS": 16, "OPERANDS": "random", "PASSES": 1}
    long, short = Grid(("S8_M16N8K32",)), Grid(("F16",))
    cycles = long.passes(params, spec) * 64 * 16 * parse("S8_M16N8K32").fma / 2680.0
    assert 0.8e6 < cycles < 1.2e6
    assert long.passes({**params, "PASSES": 6}, spec) == 6 * long.passes(params, spec)
    assert short.passes(params, spec) < long.passes(params, spec) / 3


def test_the_fullest_point_of_every_instruction_is_measured_with_both_operands() -> None:
    for name in ("mma_float", "mma_integer", "mma_fp8", "mma_sparse"):
        found: dict[object, set[object]] = {}
        for point in points(name):
            full = is_full(dict(point.params))
            found.setdefault(point["MMA"], set()).update({point["OPERANDS"]} if full else set())
        assert all(operands == {"random", "zero"} for operands in found.values()), name
        singles = {point["MMA"] for point in points(name) if point["WARPS"] == point["ILP"] == 1}
        assert singles == set(found)


def test_published_latencies_are_in_cycles_though_the_probe_counts_multiply_adds() -> None:
    latencies = [p for name in ("mma_float", "mma_integer", "mma_sparse") for p in probe(name).published]
    units = {published.unit for published in latencies if published.quantity == "latency"}
    assert units == {"cycle"}


@pytest.mark.parametrize(
    ("product", "name", "fma"),
    [
        ("h100-sxm", "F16", 2048),
        ("h100-sxm", "SP_F16_F32_M16N8K32", 4096),
        ("h100-sxm", "S8_M16N8K32", 4096),
        ("rtx-4090", "F16", 256),
        ("rtx-4090", "F16_F16_M16N8K16", 512),  # FP16 accumulators are spared GeForce's cut
        ("rtx-4090", "SP_F16_F16_M16N8K32", 1024),
    ],
)
def test_limits_are_the_products_and_twice_that_for_sparse_operands(product: str, name: str, fma: int) -> None:
    spec = device.load(product)
    architecture, sample = arch.parse(spec.architecture), Sample(1.0, 1.0, 1.0, 1.0, 1.0)

    def limit(unit: str, clock_hz: float | None = 1e9) -> float | None:
        return bounds.matrix("MMA")(Estimate("rate", {"MMA": name}, unit, 1.0, sample), spec, architecture, clock_hz)

    assert limit("FMA/cycle/SM") == fma
    assert limit("FLOP/s") == limit("op/s") == 2.0 * fma * spec["sm_count"] * 1e9
    assert limit("cycle") is None and limit("FLOP/s", None) is None
