"""Performance models: analytic cores with learned residuals, calibrated intervals, and what they are fitted on."""

from functools import lru_cache

from gpuprobe.predict.predictor import GemmPrediction, Interval, Predictor

__all__ = ["GemmPrediction", "Interval", "Predictor", "gemm"]


def gemm(m: int, n: int, k: int, *, gpu: str = "h100-sxm", dtype: str = "bf16", layout: str = "tn") -> GemmPrediction:
    """``Predictor.load(gpu).gemm(m, n, k, dtype, layout)``; a GPU's models are read once."""
    return _loaded(gpu).gemm(m, n, k, dtype, layout)


@lru_cache(maxsize=8)
def _loaded(gpu: str) -> Predictor:
    return Predictor.load(gpu)
