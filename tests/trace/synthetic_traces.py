"""Small traces made by the tests: Kineto events in plain Python, and their files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from gpuprobe.trace.kineto import read_kineto
from gpuprobe.trace.model import Trace

Event = dict[str, Any]


def kernel(
    name: str,
    ts: Any,
    dur: Any,
    correlation: int = 0,
    stream: int = 7,
    device: int = 0,
    cat: str = "kernel",
    **args: Any,
) -> Event:
    """A GPU event; times in microseconds."""
    own = {"device": device, "stream": stream, "correlation": correlation, **args}
    return {"ph": "X", "cat": cat, "name": name, "pid": device, "tid": stream, "ts": ts, "dur": dur, "args": own}


def call(name: str, ts: Any, dur: Any, correlation: int = 0, tid: int = 100, cat: str = "cuda_runtime") -> Event:
    """A runtime or driver call on a host thread."""
    args = {"correlation": correlation, "External id": correlation}
    return {"ph": "X", "cat": cat, "name": name, "pid": 100, "tid": tid, "ts": ts, "dur": dur, "args": args}


def host(name: str, ts: Any, dur: Any, cat: str = "cpu_op", tid: int = 100, **args: Any) -> Event:
    """An operator or annotation."""
    return {"ph": "X", "cat": cat, "name": name, "pid": 100, "tid": tid, "ts": ts, "dur": dur, "args": args}


def launch_pairs(*rows: tuple[str, float, float, float, float]) -> list[Event]:
    """(name, launch start, launch length, kernel start, kernel length) → calls and kernels."""
    events = []
    for correlation, (name, at, length, start, dur) in enumerate(rows, 1):
        events += [call("cudaLaunchKernel", at, length, correlation), kernel(name, start, dur, correlation)]
    return events


def write_json(path: Path, events: list[Event], indent: int | None = None, **keys: Any) -> Path:
    """Write a Kineto document (gzip for .gz)."""
    text = json.dumps({"schemaVersion": 1, **keys, "traceEvents": events}, indent=indent).encode()
    path.write_bytes(gzip.compress(text, 1) if path.suffix == ".gz" else text)
    return path


def trace_of(tmp_path: Path, events: list[Event], **keys: Any) -> Trace:
    """The Trace of some events."""
    return read_kineto(write_json(tmp_path / "trace.json", events, **keys))


NAMES = ("gemm", "relu", "ncclDevKernel_AllReduce", "void f<1, {2}>(int)")
APIS = ("cudaLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch", "cudaDeviceSynchronize")


@st.composite
def event_lists(draw: st.DrawFn) -> list[Event]:
    """Odd traces: shared and missing correlations, graphs, overlaps, launches after kernels, many streams."""
    times = st.integers(0, 400)
    lengths = st.integers(0, 60)
    events: list[Event] = []
    for _ in range(draw(st.integers(1, 25))):
        kind = draw(st.sampled_from(("kernel", "kernel", "kernel", "gpu_memcpy", "gpu_memset")))
        events.append(
            kernel(
                draw(st.sampled_from(NAMES)) if kind == "kernel" else "Memcpy HtoD",
                draw(times),
                draw(lengths),
                draw(st.integers(0, 12)),
                draw(st.integers(1, 3)),
                draw(st.integers(0, 1)),
                kind,
                bytes=draw(st.integers(0, 4096)),
            )
        )
    for _ in range(draw(st.integers(0, 20))):
        cat = draw(st.sampled_from(("cuda_runtime", "cuda_driver")))
        tid = draw(st.integers(100, 101))
        events.append(call(draw(st.sampled_from(APIS)), draw(times), draw(lengths), draw(st.integers(0, 12)), tid, cat))
    for _ in range(draw(st.integers(0, 10))):
        cat = draw(st.sampled_from(("cpu_op", "cpu_op", "user_annotation", "python_function")))
        name = draw(st.sampled_from(("aten::mm", "forward", "ProfilerStep#1", "ProfilerStep#2")))
        events.append(host(name, draw(times), draw(lengths), cat, draw(st.integers(100, 101))))
    return draw(st.permutations(events))
