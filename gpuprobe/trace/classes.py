"""What a GPU event does: computing, communicating or moving memory. One definition for every table."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gpuprobe.trace.model import GpuKind, Trace

WORK = ("compute", "communication", "memory")
COMPUTE, COMMUNICATION, MEMORY = range(3)


def is_communication(name: str) -> bool:
    """Whether a kernel's name is NCCL's (RCCL keeps the names)."""
    return name.startswith("nccl") or "ncclKernel" in name or "ncclDevKernel" in name


def work_of(trace: Trace) -> NDArray[np.uint8]:
    """Index into WORK for each GPU event."""
    communicates = trace.text_mask(is_communication)[trace.gpu.name]
    work = np.where(communicates, COMMUNICATION, COMPUTE).astype(np.uint8)
    work[trace.gpu.kind != GpuKind.KERNEL] = MEMORY
    return work


def by_device(trace: Trace) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """(device label, rows of Trace.gpu) in the order of the labels."""
    yield from _grouped(trace, [lane.device_label for lane in trace.lanes])


def by_stream(trace: Trace) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """(``device/stream``, rows of Trace.gpu) in the order of the labels."""
    yield from _grouped(trace, [f"{lane.device_label}/{lane.stream_label}" for lane in trace.lanes])


def stream_ids(trace: Trace) -> NDArray[np.intp]:
    """A number for each GPU event's (device, stream)."""
    labels = [f"{lane.device_label}/{lane.stream_label}" for lane in trace.lanes]
    return _numbered(labels)[1][trace.gpu.lane] if labels else np.zeros(0, np.intp)


def _grouped(trace: Trace, labels: list[str]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    if not len(trace.gpu.lane):
        return
    names, numbers = _numbered(labels)
    of_row = numbers[trace.gpu.lane]
    order = np.argsort(of_row, kind="stable")
    borders = np.searchsorted(of_row[order], np.arange(len(names) + 1))
    for number, name in enumerate(names):
        rows = order[borders[number] : borders[number + 1]]
        if len(rows):
            yield name, rows


def _numbered(labels: list[str]) -> tuple[list[str], NDArray[np.intp]]:
    names = sorted(set(labels))
    number = {name: index for index, name in enumerate(names)}
    return names, np.array([number[label] for label in labels], np.intp)
