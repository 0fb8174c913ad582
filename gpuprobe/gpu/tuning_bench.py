"""One GPU as ``gpuprobe tune`` needs it: what it is, and the time of one configuration of a tiled GEMM at a time."""

from __future__ import annotations

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.nvml import driver_versions
from gpuprobe.gpu.triton_timer import Bench, Operands, Problem, Timed
from gpuprobe.ops.tiling import Tiling


class TuningBench:
    """CUDA's GPU ``index``; GpuprobeError (exit 3) where there is none, or neither torch nor triton."""

    def __init__(self, index: int = 0) -> None:
        try:
            import torch
            import triton
        except ImportError as error:
            raise GpuprobeError(
                f"tiled kernels are timed through torch and triton: {error}",
                "pip install torch, or rank without a GPU: --predict-only --gpu NAME",
                Exit.MACHINE_LACKS,
            ) from error
        if index >= torch.cuda.device_count():
            raise GpuprobeError(
                f"torch sees no GPU {index}",
                "rank without one: --predict-only --gpu NAME; list them with: nvidia-smi -L",
                Exit.MACHINE_LACKS,
            )
        torch.cuda.set_device(index)
        properties = torch.cuda.get_device_properties(index)
        self.product = str(properties.name)
        self.memory_bytes = float(properties.total_memory)
        self.uuid = str(getattr(properties, "uuid", ""))
        self.driver, _ = driver_versions()
        self.triton = str(triton.__version__)
        self._bench = Bench()
        self._operands: tuple[Problem, Operands] | None = None

    def time(self, problem: Problem, tiling: Tiling) -> Timed:
        """Time of one configuration; the operands of the last problem are kept."""
        if self._operands is None or self._operands[0] != problem:
            self._operands = (problem, self._bench.operands(problem))
        return self._operands[1].time(tiling)
