"""The worker that runs the reference for its time, just as the candidate runs: what a process costs cancels."""

from __future__ import annotations

from typing import Any

from gpuprobe.kernel_eval.backend import Backend
from gpuprobe.kernel_eval.runner import Runner


class Pacer(Runner):
    """A Runner of ``Model``; also of batches without a model."""

    name = "Model"

    def bar_reference(self) -> None:
        """Nothing: this is the reference."""


def make(backend: Backend) -> Any:
    """The server of a pace worker."""
    return Pacer(backend)
