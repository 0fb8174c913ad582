"""Ranking of kernel configurations: a model of tiled GEMM kernels, and its hooks into autotuners."""

from gpuprobe.ops.tiling import FORMS
from gpuprobe.tune.data import Measured
from gpuprobe.tune.data import read as read_sweeps
from gpuprobe.tune.predictor import KernelPredictor, rank

__all__ = ["FORMS", "KernelPredictor", "Measured", "rank", "read_sweeps"]
