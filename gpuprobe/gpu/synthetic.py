"""A GPU made of a formula: what a statistic or a stopping rule does can be tested without measuring anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gpuprobe.estimate import Point
from gpuprobe.gpu.protocol import Job, Outcome
from gpuprobe.record import DeviceSpec, Environment, Sample, Source

Model = Callable[[Point, int], Sample]


class SyntheticGpu:
    """Answers each job with ``model(point, index)``, where index counts the runs of that point."""

    source: Source = "synthetic"

    def __init__(self, device: DeviceSpec, model: Model, environment: Environment | None = None) -> None:
        self.device = device
        self._model = model
        self._environment = environment or Environment()
        self.calls: Counter[Point] = Counter()
        self.order: list[Point] = []

    def environment(self) -> Environment:
        """The environment given at the start."""
        return self._environment

    def run(self, job: Job) -> Outcome:
        """The model's sample."""
        sample = self._model(job.point, self.calls[job.point])
        self.calls[job.point] += 1
        self.order.append(job.point)
        return Outcome(sample, None)

    def close(self) -> None:
        """Nothing to give back."""
