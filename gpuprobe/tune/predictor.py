"""``KernelPredictor``: times of a tiled kernel's configurations on a GPU, and their ranking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from gpuprobe import device, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.tiling import FORMS
from gpuprobe.tune import model
from gpuprobe.tune.data import work_of
from gpuprobe.tune.model import KernelModel, Times
from gpuprobe.tune.tiled import Work, is_valid

FILE: Final = "tiles-gpuprobe.npz"
Tilings = Sequence[Sequence[int]] | NDArray[Any]


class KernelPredictor:
    """Predictions for one kernel (a form of ``ops.tiling.FORMS``) on one GPU; ``load`` makes one by name."""

    def __init__(self, kernel: str, fitted: KernelModel) -> None:
        if kernel not in FORMS:
            raise GpuprobeError(f"unknown kernel '{kernel}'", f"use one of: {', '.join(FORMS)}")
        self.kernel, self.gpu, self.model = kernel, fitted.device, fitted

    @classmethod
    def load(cls, gpu: str, kernel: str = FORMS[0]) -> Self:
        """The predictor of a catalogue's device or of PATH.toml.

        A device without measured configurations takes the residual learned on one of its architecture, else the bare
        core; ``in_domain`` is False for both.
        """
        spec = device.load(gpu)
        folder = resources.folder("models")
        own = folder / spec.name / FILE
        if own.is_file() and not gpu.endswith(".toml"):
            return cls(kernel, model.read(own))
        for path in sorted(folder.glob(f"*/{FILE}")):
            if device.load(path.parent.name).architecture == spec.architecture:
                return cls(kernel, model.read(path, gpu))
        return cls(kernel, KernelModel(gpu, "", f"tiles-{spec.name}-analytic", None))

    @property
    def in_domain(self) -> bool:
        """Whether configurations measured on this very device stand behind the predictions."""
        return self.model.trained_on == self.model.device

    def times(self, m: int, n: int, k: int, tilings: Tilings, dtype: str = "bf16") -> Times:
        """Times of configurations, rows of (BM, BN, BK, GM, warps, stages), in s with 90 % intervals."""
        return self.model.times(work_of(m, n, k, dtype, self.kernel, tilings), dtype)

    def valid(self, m: int, n: int, k: int, tilings: Tilings, dtype: str = "bf16") -> NDArray[np.bool_]:
        """Whether each configuration can be launched at all."""
        return is_valid(work_of(m, n, k, dtype, self.kernel, tilings))

    def work_times(self, work: Work, dtype: str) -> Times:
        """Times of rows of several GEMMs of one type."""
        return self.model.times(work, dtype)

    def rank(self, m: int, n: int, k: int, tilings: Tilings, dtype: str = "bf16") -> list[int]:
        """Indices of the configurations that can be launched, best predicted first."""
        work = work_of(m, n, k, dtype, self.kernel, tilings)
        time_s = self.model.times(work, dtype).time_s
        order = np.argsort(np.where(is_valid(work), time_s, np.inf), kind="stable")
        return [int(index) for index in order[: int(is_valid(work).sum())]]


def rank(
    gpu: str, m: int, n: int, k: int, tilings: Tilings, *, dtype: str = "bf16", kernel: str = FORMS[0]
) -> list[int]:
    """``KernelPredictor.load(gpu, kernel).rank(m, n, k, tilings, dtype)``."""
    return KernelPredictor.load(gpu, kernel).rank(m, n, k, tilings, dtype)
