"""Ranking of kernel configurations: a model of tiled GEMM kernels, and its hooks into autotuners."""

from gpuprobe.tune.predictor import KernelPredictor, rank

__all__ = ["KernelPredictor", "rank"]
