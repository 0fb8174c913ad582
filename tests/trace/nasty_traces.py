"""Random small Kineto files with every oddity seen in real ones, and beside the text what each event truly says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import Any

OFFSETS = (0, 0, 1_428_625_746_277_044, 1_712_195_495_527_376_234, 1_712_195_495_527_376_000, -40_000)
STEPS = (1, 250, 500, 1000, 1000, 17_000)
PROCESSES = (100, 100, 101, "python", "100")
THREADS = (1, 1, 2, "thread 3", "1")
KERNELS = (
    *("gemm", "gemm", "relu", 'void f<1, {2}>(int) "]}, {["', "é ", "", "<b>&\n\t\\"),
    *("ncclDevKernel_AllReduce_Sum", "ncclKernel_Broadcast", "void ncclKernel_x", "my ncclDevKernel", "nccl:send"),
    *("NCCL", "custom_all_reduce", "Memcpy fake"),
)
GPU_CATEGORIES = ("kernel",) * 8 + ("gpu_memcpy", "gpu_memcpy", "gpu_memset", "Kernel", "memcpy", "Memset")
CALLS = (
    *("cudaLaunchKernel",) * 3,
    *("cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaGraphLaunch", "cudaGraphLaunch_ptsz", "hipGraphLaunch"),
    *("cudaMemcpyAsync", "cudaDeviceSynchronize", "INVALID"),
)
CALL_CATEGORIES = ("cuda_runtime",) * 3 + ("cuda_driver", "CUDA_Runtime", "runtime")
HOST_CATEGORIES = (*("cpu_op",) * 4, *("user_annotation",) * 2, "gpu_user_annotation", "python_function", "cuda_sync")
SYNCS = ("Stream Wait Event", "Event Sync", "Context Sync")
HOST_NAMES = ("aten::mm", "aten::mm", "forward", "ProfilerStep#1", "ProfilerStep#10", "ProfilerStep 2", "autograd")


@dataclass(frozen=True)
class Said:
    """What an event says: times in ns; ``None`` for what is not in the file."""

    ph: str
    cat: str | None
    name: str | None = None
    pid: Any = None
    tid: Any = None
    start: int = 0
    dur: int = 0
    args: dict[str, Any] | None = None

    @property
    def end(self) -> int:
        return self.start + self.dur


def nasty_trace(random: Random) -> tuple[str, list[Said]]:
    """A document's text and its events."""
    offset, step = random.choice(OFFSETS), random.choice(STEPS)
    if offset % 1000 == 0 and step % 1000 == 0:
        style = random.choice(("whole", "whole", "decimals", "odd"))
    else:
        style = random.choice(("trimmed", "decimals", "odd"))
    reach = random.choice((6, 40, 40, 300))
    longest = random.choice((0, 2, 10, 60))
    correlations = random.choice((1, 4, 12, 40))
    devices = random.choice(((0,), (0, 1), (0, 1, 2)))
    streams = random.choice(((7,), (7, 13, 20)))

    def time() -> int:
        return offset + random.randint(0, reach) * step

    def length() -> int:
        return random.choice((0, random.randint(0, longest), random.randint(0, longest))) * step

    def correlation() -> int:
        return random.choice((0, -3, *([random.randint(1, correlations)] * 10)))

    events: list[Said] = []
    for _ in range(random.randint(0, 25)):
        device, stream = random.choice(devices), random.choice(streams)
        args: dict[str, Any] = {"External id": random.randint(0, 9), "nested": [{"a": {"b": "]}"}}]}
        if random.random() < 0.9:
            args |= {"device": device, "stream": stream}
        if random.random() < 0.9:
            args["correlation"] = correlation()
        if random.random() < 0.3:
            args |= {"graph id": 3, "graph node id": 8, "grid": [1, 2, 3], "bytes": 16, "In msg nelems": 4}
        category = random.choice(GPU_CATEGORIES)
        name = random.choice(KERNELS)
        whole = args if random.random() < 0.95 else None
        events.append(Said("X", category, name, device, stream, time(), length(), whole))
    for _ in range(random.randint(0, 25)):
        args = {"correlation": correlation(), "External id": 4, "cbid": 211}
        category, name = random.choice(CALL_CATEGORIES), random.choice(CALLS)
        pid, tid = random.choice(PROCESSES), random.choice(THREADS)
        events.append(Said("X", category, name, pid, tid, time(), length(), args))
    for _ in range(random.randint(0, 20)):
        category = random.choice(HOST_CATEGORIES)
        name = random.choice(SYNCS if category == "cuda_sync" else HOST_NAMES)
        args = {"External id": 4, "Input Dims": [[2, 3], []], "Sequence number": 7}
        pid, tid = random.choice(PROCESSES), random.choice(THREADS)
        events.append(Said("X", category, name, pid, tid, time(), length(), random.choice((args, None))))
    for _ in range(random.randint(0, 8)):
        ph, category = random.choice(
            (("s", "ac2g"), ("f", "ac2g"), ("s", "async_cpu_to_gpu"), ("i", None), ("M", None))
        )
        events.append(Said(ph, category, random.choice(("x", "process_name")), 1, 1, time(), 0, None))
    random.shuffle(events)
    return _document(random, events, style), events


def _document(random: Random, events: list[Said], style: str) -> str:
    layout = random.choice(((",", ":", ""), (", ", ": ", ""), (",\n    ", ": ", "\n  ")))
    body = layout[2] + f",{layout[2]}".join(_event(random, event, style, layout) for event in events) + layout[2]
    head = '{"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "X"}], "traceEvents": ['
    return random.choice((head + body + '], "traceName": "x.json"}', head + body + "]}", "[" + body + "]"))


def _event(random: Random, event: Said, style: str, layout: tuple[str, str, str]) -> str:
    comma, colon, _ = layout
    parts = {"ph": json.dumps(event.ph), "name": json.dumps(event.name, ensure_ascii=random.random() < 0.5)}
    if event.cat is not None:
        parts["cat"] = json.dumps(event.cat)
    parts |= {"pid": json.dumps(event.pid), "tid": json.dumps(event.tid), "ts": _time(random, event.start, style)}
    if event.ph == "X" and (event.dur or random.random() < 0.7):
        parts["dur"] = _time(random, event.dur, style)
    if event.args is not None:
        parts["args"] = json.dumps(event.args, separators=(comma, colon))
    keys = list(parts)
    if random.random() < 0.2:
        random.shuffle(keys)
    return "{" + comma.join(f'"{key}"{colon}{parts[key]}' for key in keys) + "}"


def _time(random: Random, ns: int, style: str) -> str:
    """Microseconds of nanoseconds in one of the ways in which writers put them."""
    if style == "whole":
        return str(ns // 1000)
    if style == "odd":
        style = random.choice(("decimals", "trimmed", "quoted", "below", "above"))
    if style == "below":  # a little less than the nanosecond, which it rounds to
        return _decimals(ns - 1, random.choice(("51", "9", "500001")) + "0") if ns >= 1 else _decimals(ns)
    if style == "above":
        return _decimals(ns, random.choice(("49", "000001", "5" if ns % 2 == 0 else "4"))) if ns >= 0 else _decimals(ns)
    text = _decimals(ns)
    if style == "trimmed":
        text = text.rstrip("0")
        return text[:-1] if text.endswith(".") else text
    return f'"{text}"' if style == "quoted" else text


def _decimals(ns: int, more: str = "") -> str:
    return f"{'-' if ns < 0 else ''}{abs(ns) // 1000}.{abs(ns) % 1000:03d}{more}"
