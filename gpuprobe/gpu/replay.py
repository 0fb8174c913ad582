"""A recorded Run as a GPU: each job gets the next sample that was taken of its configuration."""

from __future__ import annotations

from collections.abc import Iterator

from gpuprobe.gpu.protocol import Exhausted, Job, Outcome
from gpuprobe.record import DeviceSpec, Environment, Param, Params, Run, Sample, Source

REPEAT = "repeat"
"""Parameter that marks the series of a drift check."""

Key = tuple[str, tuple[tuple[str, Param], ...]]


def series_key(probe: str, params: Params) -> Key:
    """Identity of a series: probe and sorted parameters."""
    return probe, tuple(sorted(params.items()))


class ReplayGpu:
    """Plays a Run's series back, sample by sample, through the same protocol as a real GPU."""

    source: Source = "replay"

    def __init__(self, run: Run) -> None:
        self.device: DeviceSpec = run.device
        self._environment = run.environment
        self._series = {series_key(series.probe, series.params): series for series in run.series}
        self._playing: dict[Key, Iterator[Sample]] = {}

    def environment(self) -> Environment:
        """The environment of the recording."""
        return self._environment

    def run(self, job: Job) -> Outcome:
        """The next recorded sample; Exhausted after the last."""
        params = dict(job.point.params) | ({REPEAT: 1} if job.repeat else {})
        key = series_key(job.probe, params)
        if key not in self._playing:
            series = self._series.get(key)
            self._playing[key] = iter(series.samples() if series is not None else ())
        sample = next(self._playing[key], None)
        if sample is None:
            raise Exhausted(job.probe)
        return Outcome(sample, None)

    def close(self) -> None:
        """Nothing to give back."""
