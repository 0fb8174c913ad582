"""A strategy for Kernel Tuner: its search spaces in the order that our surrogate finds most promising.

::

    tune_kernel(..., strategy=strategy())  # learns any space
    prior = GemmPrior("h100-sxm", m, n, k)
    tune_kernel(..., strategy=strategy(prior), restrictions=prior.restriction)

Kernel Tuner is imported by ``strategy`` alone; its cost function, budget, cache and simulation mode stay in charge.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.tiling import FORMS, SHARED_BYTES, Tiling
from gpuprobe.tune.predictor import KernelPredictor
from gpuprobe.tune.search import Surrogate, features_of, search

Array = NDArray[np.float64]
Config = Mapping[str, Any]

_INVALID: Final = sys.float_info.max  # Kernel Tuner's cost of a configuration that failed


class Belief(NamedTuple):
    """Predicted time of each configuration, in s, and the standard deviation of its log error."""

    time_s: Array
    sd: Array


Prior = Callable[[Sequence[Config]], Belief]


@dataclass(frozen=True)
class GemmPrior:
    """The model of tiled GEMM kernels as a prior; ``names``: the space's own names of BM, BN, BK, GM, warps, stages.

    A name left empty counts as 1 (no such parameter): GM, say.
    """

    gpu: str
    m: int
    n: int
    k: int
    dtype: str = "bf16"
    kernel: str = FORMS[0]
    names: tuple[str, str, str, str, str, str] = (
        "BLOCK_M", "BLOCK_N", "BLOCK_K", "GROUP_M", "num_warps", "num_stages",
    )  # fmt: skip

    @cached_property
    def _predictor(self) -> KernelPredictor:
        return KernelPredictor.load(self.gpu, self.kernel)

    def __call__(self, configs: Sequence[Config]) -> Belief:
        """What the model believes of configurations."""
        tilings = [self._tiling(config) for config in configs]
        times = self._predictor.times(self.m, self.n, self.k, tilings, self.dtype)
        return Belief(times.time_s, times.log_sd)

    def restriction(self, config: Config) -> bool:
        """Whether a configuration can be launched: for ``restrictions=`` of Kernel Tuner."""
        tiling = self._tiling(config)
        if tiling.shared_bytes(1) > SHARED_BYTES:
            return False
        return bool(self._predictor.valid(self.m, self.n, self.k, [tiling], self.dtype)[0])

    def _tiling(self, config: Config) -> Tiling:
        missing = [name for name in self.names if name and name not in config]
        if missing:
            raise GpuprobeError(
                f"the space has no parameter '{missing[0]}'",
                f"name its own with GemmPrior(names=…); it has: {', '.join(config)}",
            )
        return Tiling(*(int(config[name]) if name else 1 for name in self.names))


def strategy(prior: Prior | None = None, seed: int = 0, enough: float = 0.0) -> Any:
    """A strategy for ``tune_kernel(strategy=…)``; GpuprobeError where Kernel Tuner is not installed.

    ``prior`` says what is believed of configurations beforehand; without one the space is learned from nothing but
    that the ends of ranges are seldom best, from a central configuration on, drawn with ``seed``. ``enough`` ends the
    search before the budget (0.003: when the next configuration promises less than 0.3 %).
    """
    try:
        wrapper = importlib.import_module("kernel_tuner.strategies.wrapper")
    except ImportError as error:
        raise GpuprobeError(
            f"Kernel Tuner cannot be used: {error}", "pip install kernel-tuner", Exit.MACHINE_LACKS
        ) from error
    return wrapper.OptAlgWrapper(SurrogateStrategy(prior, seed, enough))


class SurrogateStrategy:
    """The optimizer that Kernel Tuner's OptAlgWrapper calls; it ends the search by raising at the end of the budget."""

    constraint_aware = True  # every configuration proposed is one of the search space

    def __init__(self, prior: Prior | None, seed: int, enough: float) -> None:
        self._prior, self._seed, self._enough = prior, seed, enough
        self.costfunc_kwargs = {"scaling": False, "snap": False}

    def __call__(self, func: Callable[[Any], float], searchspace: Any) -> tuple[tuple[Any, ...], float]:
        """Search ``searchspace`` by calling ``func``; the best configuration and its cost."""
        configs: list[tuple[Any, ...]] = searchspace.list
        surrogate = self._surrogate(configs, list(searchspace.tune_params))
        costs: dict[int, float] = {}

        def measure(index: int) -> float | None:
            costs[index] = float(func(configs[index]))
            return _time_of(costs[index])

        search(surrogate, measure, len(configs), self._enough)
        best = min(costs, key=costs.__getitem__)
        return configs[best], costs[best]

    def _surrogate(self, configs: Sequence[tuple[Any, ...]], names: Sequence[str]) -> Surrogate:
        features = features_of(numbers(configs))
        if self._prior is None:
            return Surrogate.flat(features, self._seed)
        belief = self._prior([dict(zip(names, config, strict=True)) for config in configs])
        return Surrogate(features, np.log(belief.time_s), belief.sd)


def _time_of(cost: float) -> float | None:
    """A positive number that orders as Kernel Tuner's cost does; costs of what is maximised are negative."""
    if cost in {_INVALID, 0.0}:
        return None
    return cost if cost > 0 else -1.0 / cost


def numbers(configs: Sequence[tuple[Any, ...]]) -> Array:
    """Configurations as numbers: parameters that are none (strings) become a column of 0 and 1 a value."""
    columns: list[Array] = []
    for values in zip(*configs, strict=True):
        if all(isinstance(value, (bool, int, float, np.number)) for value in values):
            columns.append(np.array(values, np.float64))
        else:
            columns += [
                np.array([str(value) == one for value in values], np.float64) for one in sorted(set(map(str, values)))
            ]
    return np.column_stack(columns)
