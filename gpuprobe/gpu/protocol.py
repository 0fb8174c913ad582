"""What measuring needs of a GPU: to run a job and give a sample. Real, replayed and synthetic GPUs do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Method, Point
from gpuprobe.record import DeviceSpec, Environment, Sample, Source


@dataclass(frozen=True)
class Job:
    """One execution of one configuration: cubin, entries, launch, and the operands' seed (0: zero operands).

    ``repeat`` marks the drift check: the first configuration once more at the end.
    """

    probe: str
    point: Point
    cubin: bytes
    kernel: str
    entry: str = "probe"
    prepare: str = ""
    method: Method = "kernel"
    seed: int = 1
    out_words: int = 1 << 16
    repeat: bool = False


@dataclass(frozen=True)
class Outcome:
    """A sample, and what the kernel stored in ``out`` (None where it was recorded earlier and checked then)."""

    sample: Sample
    out: bytes | None


class Exhausted(Exception):  # noqa: N818 - a normal end, not an error
    """A recording holds no further sample of the configuration asked for."""


class OutOfMemory(GpuprobeError):  # noqa: N818 - CUDA's own name for it
    """The GPU has not the memory that a job's working set needs: that configuration has no result, others may."""


class Gpu(Protocol):
    """A device that jobs run on."""

    source: Source
    device: DeviceSpec

    def environment(self) -> Environment:
        """Versions, limits and other users of the GPU."""
        ...

    def run(self, job: Job) -> Outcome:
        """Execute a job once; Exhausted where a recording has no more, GpuprobeError where the launch fails."""
        ...

    def close(self) -> None:
        """Give back memory and handles."""
        ...
