"""The sweep of tiled kernels: its GEMMs and configurations, its journal, and going on after an interruption."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.triton_timer import Problem, Timed
from gpuprobe.ops import tiling
from gpuprobe.ops.tiling import SHARED_BYTES, Tiling
from gpuprobe.sweep.journal import Journal, read_journal
from gpuprobe.sweep.tiles import COLUMNS, TileCampaign, measure

TURNS = (("triton-matmul", "bf16"), ("triton-persistent", "bf16"), ("triton-matmul", "fp8"))
CAMPAIGN = TileCampaign(TURNS, seed=3, pool=40, each=10)


class FakeBench:
    """Every configuration takes a microsecond a column of its tile; those with 5 stages fail."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def time(self, problem: Problem, tilings: Sequence[Tiling]) -> Iterator[Timed]:
        self.problems.append(problem)
        for one in tilings:
            if one.stages == 5:
                yield Timed(one, error="out of resource: shared memory")
            else:
                yield Timed(one, one.bn * 1e-6, (one.bn * 0.9e-6, one.bn * 1.1e-6), 128, 65536, 0)


def run(path: Path, bench: FakeBench, stop_after: int = 99, campaign: TileCampaign = CAMPAIGN) -> int:
    problems = campaign.problems(7)
    records = read_journal(path)
    with Journal(path) as journal:
        return measure(
            campaign, problems, bench, journal, records, {"device": "fake"},
            lambda: len(bench.problems) >= stop_after, lambda done, count: None,
        )  # fmt: skip


def test_a_line_a_gemm_with_a_row_a_configuration(tmp_path: Path) -> None:
    bench = FakeBench()
    assert run(tmp_path / "tiles.jsonl", bench) == 7
    session, *lines = read_journal(tmp_path / "tiles.jsonl")
    assert (session["device"], session["campaign"]) == ("fake", {**CAMPAIGN.identity})
    assert [Problem(*(line[name] for name in ("form", "m", "n", "k", "dtype"))) for line in lines] == bench.problems
    for line in lines:
        assert line["columns"] == list(COLUMNS)
        assert len({tuple(row[:6]) for row in line["rows"]}) == CAMPAIGN.each
        for row in line["rows"]:
            named = dict(zip(COLUMNS, row, strict=True))
            failed = named["stages"] == 5
            assert named["time_us"] == (0.0 if failed else named["bn"])
            assert bool(named["error"]) is failed
            assert named["spread"] == pytest.approx(0.0 if failed else 0.2)


def test_an_interrupted_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, first, second = FakeBench(), FakeBench(), FakeBench()
    run(tmp_path / "whole.jsonl", whole)
    assert run(tmp_path / "tiles.jsonl", first, stop_after=3) == 3
    assert run(tmp_path / "tiles.jsonl", second) == 4
    assert first.problems + second.problems == whole.problems
    rows = [[r for r in read_journal(tmp_path / f"{name}.jsonl") if r["kind"] == "row"] for name in ("whole", "tiles")]
    assert [line["rows"] for line in rows[0]] == [line["rows"] for line in rows[1]]


def test_a_journal_of_another_campaign_is_not_continued(tmp_path: Path) -> None:
    run(tmp_path / "tiles.jsonl", FakeBench())
    with pytest.raises(GpuprobeError, match="another campaign"):
        run(tmp_path / "tiles.jsonl", FakeBench(), campaign=TileCampaign(TURNS, seed=4, pool=40, each=10))


def test_every_third_gemm_has_a_long_k_where_asked() -> None:
    campaign = replace(CAMPAIGN, long_k=True)
    problems = campaign.problems(60)
    usual = CAMPAIGN.problems(60)
    for problem in problems[2::3]:
        assert 2048 <= problem.k <= 16384
        assert min(problem.m, problem.n) <= 256
        assert problem.n % 16 == problem.k % 16 == 0
    few = [sum(-(-p.m // 128) * -(-p.n // 128) < 64 and p.k >= 2048 for p in some) for some in (problems, usual)]
    assert few[0] >= few[1] + 10
    assert len(set(problems)) == 60
    assert problems == campaign.problems(60)
    assert campaign.identity != CAMPAIGN.identity


def test_gemms_take_turns_over_kernels_and_types_and_suit_them() -> None:
    problems = CAMPAIGN.problems(30)
    assert [(one.form, one.dtype) for one in problems] == [*TURNS] * 10
    assert len({(one.m, one.n, one.k) for one in problems}) == 30
    assert all(one.n % 16 == one.k % 16 == 0 for one in problems)


@given(st.integers(0, 5), st.sampled_from(sorted(tiling.INPUT_BYTES)))
def test_configurations_are_possible_distinct_and_repeatable(seed: int, dtype: str) -> None:
    found = tiling.sample(50, dtype, seed)
    assert found == tiling.sample(50, dtype, seed)
    assert len(set(found)) == 50
    assert all(one.shared_bytes(tiling.input_bytes(dtype)) <= SHARED_BYTES for one in found)
    assert all(one.accumulators <= 256 for one in found)


def test_what_a_configuration_asks_of_an_sm() -> None:
    one = tiling.read((128, 256, 64, 8, 8, 3))
    assert one.shared_bytes(2) == 3 * 64 * (128 + 256) * 2 == 147_456
    assert one.accumulators == 128
    assert not Tiling(256, 256, 128, 8, 8, 4).is_possible(2)


@pytest.mark.parametrize("values", [(1, 2, 3), (128, 128, 64, 8, 8, 0), (128, 128, 64, 8, "8", 3)])
def test_what_is_no_configuration_is_refused(values: tuple[int, ...]) -> None:
    with pytest.raises(GpuprobeError, match="no tiling"):
        tiling.read(values)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(GpuprobeError, match="'fp4'"):
        tiling.sample(1, "fp4", 0)
