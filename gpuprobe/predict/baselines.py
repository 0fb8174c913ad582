"""What a model has to beat: datasheet roofline, random forests on the shape, and errors that others published."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict.dataset import Dataset
from gpuprobe.predict.machine import Machine

Array = NDArray[np.float64]


class Claim(NamedTuple):
    """An error that others state, in %, of their own data: not comparable row by row."""

    what: str
    error: str
    source: str


PUBLISHED: Final = (
    Claim(
        "random forest on shape, RTX 4070, time", "mean 15.6", "arXiv 2411.16954 (every test shape is in its training)"
    ),
    Claim("PipeWeave, GEMM bf16, 11 GPUs", "mean 8.4, median 4.1", "zksainx/pipeweave, its stored test errors"),
    Claim("PipeWeave, GEMM bf16, H100 unseen", "mean 7.0, median 3.8", "zksainx/pipeweave, its stored test errors"),
    Claim("SynPerf, kernels, 11 GPUs", "mean 6.1", "arXiv 2601.14910"),
    Claim("PM2Lat, kernels by name, 5 GPUs", "mean below 10", "arXiv 2603.00549"),
    Claim("LLMCompass, operators, A100", "mean 10.4 to 10.9", "arXiv 2312.03134"),
    Claim("EnergAIzer, power, Ampere and H100", "mean 8 and 7", "arXiv 2604.20105"),
)


def roofline(data: Dataset, machine: Machine) -> Array:
    """Time in s by the datasheet: the larger of operations over peak and bytes over bandwidth."""
    dtype = DTYPES[data.dtype]
    flop = 2 * data.m * data.n * data.k
    moved = (data.m * data.k + data.n * data.k) * dtype.input_bytes + data.m * data.n * dtype.output_bytes
    result: Array = np.maximum(flop / machine.flop_per_s, moved / machine.dram_bytes_per_s)
    return result


def scaled(predicted: Array, measured: Array) -> Array:
    """A prediction after one factor, fitted on the very rows it is judged on: kind to a baseline."""
    result: Array = predicted * np.nanmedian(measured / predicted)
    return result


def forest(data: Dataset, target: str, folds: int, *, published_recipe: bool) -> Array | str:
    """A random forest's prediction of rows whose (n,k) it did not see, or why there is none.

    The published recipe has 100 trees of depth 6 on raw sizes and times; the fair one full trees on logs.
    """
    try:
        ensemble: Any = import_module("sklearn.ensemble")
    except ImportError:
        return "needs scikit-learn (pip install scikit-learn)"
    sizes = [data.m, data.n, data.k, data.m * data.n * data.k, data.m * data.k + data.n * data.k + data.m * data.n]
    columns = np.column_stack([*sizes, sizes[3] / sizes[4]])
    measured = data.targets[target]
    if not published_recipe:
        columns = np.column_stack(
            [np.log(columns), data.nn, np.gcd(data.n.astype(int), 8), np.gcd(data.k.astype(int), 8)]
        )
        measured = np.log(measured)
    shape = {"max_depth": 6} if published_recipe else {"max_features": 0.6}
    predicted = np.zeros(len(data))
    fold = data.folds(folds)
    for index in range(folds):
        trees = ensemble.RandomForestRegressor(100, random_state=0, n_jobs=1, **shape)
        trees.fit(columns[fold != index], measured[fold != index])
        predicted[fold == index] = trees.predict(columns[fold == index])
    return predicted if published_recipe else np.exp(predicted)
