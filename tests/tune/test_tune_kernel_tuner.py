"""The strategy for Kernel Tuner: on a fake cost function, and in its simulation mode where it is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import Tiling, sample
from gpuprobe.tune import rank
from gpuprobe.tune.kernel_tuner_hook import Belief, GemmPrior, SurrogateStrategy, numbers, strategy

NAMES = ("BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M", "num_warps", "num_stages")
PRIOR = GemmPrior("h100-sxm", 4096, 4096, 4096)


@dataclass
class Space:
    """What a Kernel Tuner search space is to a strategy."""

    list: list[tuple[Any, ...]]
    tune_params: Mapping[str, Sequence[Any]]


class OverError(Exception):
    """The budget is spent, as Kernel Tuner says it."""


class Cost:
    """Kernel Tuner's cost function: counts, remembers and ends by raising."""

    def __init__(self, costs: Mapping[tuple[Any, ...], float], budget: int) -> None:
        self.costs, self.budget, self.asked = costs, budget, []  # type: ignore[var-annotated]

    def __call__(self, config: tuple[Any, ...]) -> float:
        if len(self.asked) == self.budget:
            raise OverError
        self.asked.append(config)
        return self.costs[config]


def grid() -> dict[tuple[int, int, str], float]:
    """A space with a parameter that is no number; the best is (16, 4, 'yes')."""
    return {
        (x, y, flag): 1.0 + 0.1 * abs(x - 16) + 0.3 * abs(y - 4) + (flag == "no")
        for x in (4, 8, 16, 32, 64)
        for y in (1, 2, 4, 8)
        for flag in ("yes", "no")
    }


def space_of(costs: Mapping[tuple[Any, ...], float]) -> Space:
    return Space(list(costs), {"x": [], "y": [], "flag": []})


def test_it_searches_without_a_prior_until_the_budget_ends_it() -> None:
    cost = Cost(grid(), 20)
    with pytest.raises(OverError):
        SurrogateStrategy(None, 0, 0.0)(cost, space_of(cost.costs))
    assert len(set(cost.asked)) == 20
    assert (16, 4, "yes") in cost.asked


def test_what_is_maximised_comes_as_negative_costs() -> None:
    costs = {config: -1.0 / cost for config, cost in grid().items()}
    assert SurrogateStrategy(None, 0, 0.0)(Cost(costs, 99), space_of(costs)) == ((16, 4, "yes"), -1.0)


def test_failures_are_survived() -> None:
    costs = {config: sys.float_info.max if config[1] == 1 else cost for config, cost in grid().items()}
    assert SurrogateStrategy(None, 0, 0.0)(Cost(costs, 99), space_of(costs))[0] == (16, 4, "yes")


def test_a_prior_is_asked_first_and_enough_is_enough() -> None:
    costs = grid()

    def prior(configs: Sequence[Mapping[str, Any]]) -> Belief:
        times = np.array([costs[one["x"], one["y"], one["flag"]] for one in configs])
        return Belief(times, np.full(len(times), 0.001))

    cost = Cost(costs, 99)
    best, _ = SurrogateStrategy(prior, 0, 0.003)(cost, space_of(costs))
    assert (best, cost.asked) == ((16, 4, "yes"), [(16, 4, "yes")])


def test_strings_become_columns_of_their_own() -> None:
    assert numbers([(1, "b"), (2, "a")]).tolist() == [[1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]


def test_the_gemm_prior_orders_as_the_model_and_knows_what_cannot_run() -> None:
    tilings = sample(30, "bf16", 2)
    configs = [dict(zip(NAMES, tiling, strict=True)) for tiling in tilings]
    possible = [index for index, config in enumerate(configs) if PRIOR.restriction(config)]
    order = sorted(possible, key=PRIOR(configs).time_s.__getitem__)
    assert order == rank("h100-sxm", 4096, 4096, 4096, tilings)
    assert not PRIOR.restriction(dict(zip(NAMES, Tiling(256, 256, 128, 8, 8, 5), strict=True)))
    with pytest.raises(GpuprobeError, match="no parameter 'BLOCK_M'"):
        PRIOR([{"BM": 64}])


def test_without_kernel_tuner_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kernel_tuner.strategies.wrapper", None)
    with pytest.raises(GpuprobeError, match="Kernel Tuner cannot be used"):
        strategy()


def test_kernel_tuner_runs_it_in_simulation(tmp_path: Path) -> None:
    kernel_tuner = pytest.importorskip("kernel_tuner")
    tilings = [t for t in sample(60, "bf16", 2) if PRIOR.restriction(dict(zip(NAMES, t, strict=True)))]
    values = {name: sorted({tiling[i] for tiling in tilings}) for i, name in enumerate(NAMES)}
    order = rank("h100-sxm", 4096, 4096, 4096, tilings)
    rows = {
        ",".join(map(str, tilings[index])): dict(zip(NAMES, tilings[index], strict=True)) | {"time": 1.0 + 0.2 * place}
        for place, index in enumerate(order)
    }
    timings = ("compile_time", "verification_time", "benchmark_time", "strategy_time", "framework_time")
    cache = tmp_path / "space.json"
    cache.write_text(
        json.dumps(
            {
                "device_name": "Simulation",
                "kernel_name": "mm",
                "problem_size": [1, 1, 1],
                "objective": "time",
                "tune_params_keys": list(NAMES),
                "tune_params": values,
                "cache": {key: row | dict.fromkeys(timings, 0.0) for key, row in rows.items()},
            }
        )
    )
    measured = {tuple(tiling) for tiling in tilings}

    def restriction(config: Mapping[str, int]) -> bool:
        return tuple(config[name] for name in NAMES) in measured and PRIOR.restriction(config)

    results, _ = kernel_tuner.tune_kernel(
        "mm", "", (1, 1, 1), [], values, simulation_mode=True, cache=str(cache), restrictions=restriction,
        strategy=strategy(PRIOR), strategy_options={"max_fevals": 4}, quiet=True,
    )  # fmt: skip
    assert len(results) == 4
    assert min(row["time"] for row in results) == 1.0


def test_kernel_tuner_takes_the_restriction_as_it_is() -> None:
    pytest.importorskip("kernel_tuner")
    from kernel_tuner.searchspace import Searchspace

    values = {"BLOCK_M": [64, 256], "BLOCK_N": [64, 256], "BLOCK_K": [64], "GROUP_M": [8], "num_warps": [8]}
    space = Searchspace(values | {"num_stages": [2, 5]}, PRIOR.restriction, 1024)
    assert (64, 64, 64, 8, 8, 2) in space.list
    assert (256, 256, 64, 8, 8, 5) not in space.list
