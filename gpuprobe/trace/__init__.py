"""Traces of GPU programs: one model, readers for every format, exact analyses on integer nanoseconds."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuprobe.trace.model import Trace


def load(path: "str | PathLike[str]") -> "Trace":
    """The trace in a file: own, torch.profiler or Chrome JSON, Nsight Systems SQLite."""
    from gpuprobe.trace.read import read_trace  # noqa: PLC0415 - the recorder loads this package in foreign programs

    return read_trace(Path(path))
