"""Performance models: analytic cores with learned residuals, calibrated intervals, and what they are fitted on."""

from functools import lru_cache
from typing import TYPE_CHECKING

from gpuprobe.predict.predictor import GemmPrediction, Interval, Predictor

if TYPE_CHECKING:
    from gpuprobe.llm import predict as llm

__all__ = ["GemmPrediction", "Interval", "Predictor", "gemm", "llm"]


def gemm(m: int, n: int, k: int, *, gpu: str = "h100-sxm", dtype: str = "bf16", layout: str = "tn") -> GemmPrediction:
    """``Predictor.load(gpu).gemm(m, n, k, dtype, layout)``; a GPU's models are read once."""
    return _loaded(gpu).gemm(m, n, k, dtype, layout)


@lru_cache(maxsize=8)
def _loaded(gpu: str) -> Predictor:
    return Predictor.load(gpu)


def __getattr__(name: str) -> object:
    """``llm``, which is made of the layer above and loaded when it is asked for."""
    if name != "llm":
        raise AttributeError(f"module 'gpuprobe.predict' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415 - this package does not know that layer

    found: object = import_module("gpuprobe.llm").predict
    return found
