"""gpuprobe: microbenchmarks, traces and performance models for NVIDIA GPUs."""

__version__ = "0.1.0"
