"""Timing of launches: what the call costs the host, and how fast the device takes queued kernels off a stream."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.estimate import Method

HOLD_NS = 500_000
HOLD_NS_PER_LAUNCH = 12_000
BATCH = 64
GRAPH_CALLS = 8
TRIES = 3

Call = Callable[[], object]


class HostTooSlow(GpuprobeError):  # noqa: N818 - a condition of the host
    """The host did not queue the launches while the stream was held."""


@dataclass(frozen=True)
class LaunchTiming:
    """Seconds of one sample.

    ``api_s``: host time inside the calls (all launches of a stream, one launch of a graph), from the fastest batch,
    because the host is interrupted now and then; the cost of a foreign call is taken off. ``call_s``: that cost.
    ``drain_s``: device time from the end of the holding kernel to a stamp behind the last launch.
    """

    api_s: float
    call_s: float
    drain_s: float


@dataclass(frozen=True)
class Kernels:
    """The kernels of null_kernel.cu: one that does nothing, one that holds the stream, one that stamps the time."""

    nothing: Any
    hold: Any
    stamp: Any

    @classmethod
    def of(cls, functions: Mapping[str, Any]) -> Kernels:
        """From functions by name."""
        return cls(functions["nothing"], functions["hold"], functions["stamp"])


def time_launches(stream: Any, kernels: Kernels, out: Any, count: int, method: Method) -> LaunchTiming:
    """Queue ``count`` empty kernels one by one (``stream``) or as one graph (``graph``), behind a kernel that waits.

    ``out`` is a device array of four 64-bit words. GpuprobeError where the host was too slow to queue them in time.
    """
    if method == "graph":
        graph = _graph(stream, kernels.nothing, count)

        def launch() -> float:
            return _timed(lambda: graph.launch(stream))

        runs = [_behind_hold(stream, kernels, out, HOLD_NS, launch) for _ in range(GRAPH_CALLS)]
        return LaunchTiming(min(api_s for api_s, _ in runs), 0.0, min(drain_s for _, drain_s in runs))
    arguments = _launch_arguments(kernels.nothing, stream)
    driver = ctypes.CDLL("libcuda.so.1")

    def queue() -> float:
        return _fastest_batch(driver.cuLaunchKernel, arguments, count) * count

    api_s, drain_s = _behind_hold(stream, kernels, out, HOLD_NS + HOLD_NS_PER_LAUNCH * count, queue)
    call_s = _fastest_batch(ctypes.CDLL(None).getppid, arguments, count) * count
    return LaunchTiming(max(api_s - call_s, 0.0), call_s, drain_s)


def time_launches_again(stream: Any, kernels: Kernels, out: Any, count: int, method: Method) -> LaunchTiming:
    """``time_launches``, tried up to TRIES times: a host is now and then held up for longer than the holding kernel."""
    for _ in range(TRIES - 1):
        try:
            return time_launches(stream, kernels, out, count, method)
        except HostTooSlow:
            continue
    return time_launches(stream, kernels, out, count, method)


def _behind_hold(
    stream: Any, kernels: Kernels, out: Any, hold_ns: int, queue: Callable[[], float]
) -> tuple[float, float]:
    """What ``queue`` returns, and the seconds from the end of the holding kernel to a stamp behind what it queued."""
    kernels.hold((1,), (1,), _arguments(out, hold_ns))
    result = queue()
    held_back = not stream.done
    kernels.stamp((1,), (1,), _arguments(out, 0))
    stream.synchronize()
    if not held_back:
        raise HostTooSlow(
            "queueing the launches took the host longer than the holding kernel ran",
            "run again on a less busy host",
            Exit.CHECK_FAILED,
        )
    held_until, stamped = (int(value) for value in out.get()[:2])
    return result, (stamped - held_until) * 1e-9


def _launch_arguments(kernel: Any, stream: Any) -> tuple[Any, ...]:
    """Arguments of cuLaunchKernel for one thread, made once: making them costs as much as the launch."""
    one, zero, null = ctypes.c_uint(1), ctypes.c_uint(0), ctypes.c_void_p(None)
    return (ctypes.c_void_p(kernel.ptr), one, one, one, one, one, one, zero, ctypes.c_void_p(stream.ptr), null, null)


def _fastest_batch(function: Callable[..., int], arguments: tuple[Any, ...], count: int) -> float:
    """Seconds of one call, from the fastest of count / BATCH batches of BATCH calls."""

    def batch() -> None:
        for _ in range(BATCH):
            function(*arguments)

    return min(_timed(batch) for _ in range(count // BATCH)) / BATCH


def _timed(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def _arguments(out: Any, size: int) -> tuple[Any, ...]:
    """The common kernel signature of microbench/probe.cuh."""
    return (out, out, out, np.uint64(size), np.uint64(1), np.uint32(0))


def _graph(stream: Any, kernel: Any, count: int) -> Any:
    """A graph of ``count`` empty kernels in a row, uploaded and run once."""
    stream.begin_capture()
    for _ in range(count):
        kernel((1,), (1,), ())
    graph = stream.end_capture()
    graph.upload(stream)
    graph.launch(stream)
    stream.synchronize()
    return graph
