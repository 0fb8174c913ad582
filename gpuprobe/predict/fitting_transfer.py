"""Learning what the datasheet's core misses on each chip with data, and the mean of it for chips without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from gpuprobe import device
from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting
from gpuprobe.predict.arithmetic import ARRAY
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Problem, core, rates
from gpuprobe.predict.dataset import Dataset
from gpuprobe.predict.features import OF_TABLES, features
from gpuprobe.predict.forest import Forest, summed
from gpuprobe.predict.machine import machine

SHARE: Final = 0.5
"""How much of the mean residual is believed: between 0 and 1 the best over chips left out one at a time."""
_RECIPE: Final = Recipe(trees=120, depth=6, step=0.12, damping=30.0, rows=0.3, bins=64, sees=OF_TABLES, median=True)


class Table(NamedTuple):
    """A published table: device, source, and its rows."""

    device: str
    source: str
    data: Dataset

    @property
    def chip(self) -> str:
        """The chip of the device: H100 and H200 share one."""
        return device.load(self.device).chip


def grow(tables: Sequence[Table]) -> Forest:
    """A share of the mean over chips of log(measured / core), the core by datasheet numbers."""
    chips = Counter(table.chip for table in tables)
    shares = [SHARE / len(chips) / chips[table.chip] for table in tables]
    return summed([_residual(table) for table in tables], shares)


def _residual(table: Table) -> Forest:
    data, dtype = table.data, DTYPES[table.data.dtype]
    made = machine(device.load(table.device), data.dtype)
    problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
    parts = core(problem, rates(made, dtype, warm=True), ARRAY)
    columns = [np.asarray(column, np.float64) for column in features(problem, parts, ARRAY)]
    return boosting.grow(columns, np.log(data.targets["hot"] / parts.time_s)[:, None], _RECIPE)
