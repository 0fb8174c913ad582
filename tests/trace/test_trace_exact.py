"""The exact block against a slow computation straight from the definitions, on random odd traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_traces import Event, call, event_lists, host, kernel, launch_pairs, trace_of

from gpuprobe.trace.exact import exact
from gpuprobe.trace.intervals import covered, gaps, intersection, union
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import I64

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
GPU = ("kernel", "gpu_memcpy", "gpu_memset")


def busy_set(events: list[Event]) -> set[int]:
    """Every busy microsecond."""
    return {us for event in events for us in range(event["ts"], event["ts"] + event["dur"])}


def launch_of(events: list[Event]) -> dict[int, Event]:
    found: dict[int, Event] = {}
    for event in events:
        correlation = event["args"].get("correlation", 0)
        if event["cat"].startswith("cuda_") and correlation:
            old = found.get(correlation)
            if old is None or event["ts"] >= old["ts"]:
                found[correlation] = event
    return found


def slow(events: list[Event]) -> dict[str, Any]:
    """The quantities that need no ordering rule, the long way."""
    gpu = [event for event in events if event["cat"] in GPU]
    launches = launch_of(events)
    joined = [(event, launches.get(event["args"]["correlation"] or -1)) for event in gpu]
    devices = {}
    for device in {event["args"]["device"] for event in gpu}:
        own = [event for event in gpu if event["args"]["device"] == device]
        parts = {
            "communication": [event for event in own if event["cat"] == "kernel" and event["name"].startswith("nccl")],
            "memory": [event for event in own if event["cat"] != "kernel"],
            "compute": [event for event in own if event["cat"] == "kernel" and not event["name"].startswith("nccl")],
        }
        span = max(event["ts"] + event["dur"] for event in own) - min(event["ts"] for event in own)
        devices[str(device)] = {
            "span_ns": span * 1000,
            "busy_ns": len(busy_set(own)) * 1000,
            "idle_ns": (span - len(busy_set(own))) * 1000,
            "union_ns": {name: len(busy_set(part)) * 1000 for name, part in parts.items()},
            "count": {name: len(part) for name, part in parts.items()},
            "comp_comm_overlap_ns": len(busy_set(parts["compute"]) & busy_set(parts["communication"])) * 1000,
        }
    waits = [event["ts"] - launch["ts"] for event, launch in joined if launch and event["cat"] == "kernel"]
    delays = [event["ts"] - launch["ts"] - launch["dur"] for event, launch in joined if launch]
    return {
        "devices": devices,
        "launched": sum(launch is not None for _, launch in joined),
        "graph": sum(launch is not None and "GraphLaunch" in launch["name"] for _, launch in joined),
        "raw": sum(waits) * 1000,
        "clamped": sum(max(0, wait) for wait in waits) * 1000,
        "negative": sum(wait < 0 for wait in waits),
        "delay": sum(max(0, delay) for delay in delays) * 1000,
    }


@IN_TMP
@given(event_lists())
def test_exact_equals_the_definitions(tmp_path: Path, events: list[Event]) -> None:
    trace = trace_of(tmp_path, events)
    document = exact(trace, join_launches(trace))
    expected = slow(events)
    for device in document["devices"].values():
        device.pop("comp_comm_overlap_pct_of_comm")
    assert document["devices"] == expected["devices"]
    assert document["launch"]["launched"] == expected["launched"]
    assert document["launch"]["graph_launched"] == expected["graph"]
    assert document["tklqt"]["raw_ns"] == expected["raw"]
    assert document["tklqt"]["clamped_ns"] == expected["clamped"]
    assert document["tklqt"]["negative"] == expected["negative"]
    assert document["launch_delay"]["clamped_sum_ns"] == expected["delay"]
    assert sum(row["sum_ns"] for row in document["names"]["top_by_sum"]) == document["gpu"]["dur_sum_ns"]


@IN_TMP
@given(event_lists())
def test_first_parents_equal_the_definition(tmp_path: Path, events: list[Event]) -> None:
    trace = trace_of(tmp_path, events)
    last: dict[Any, int] = {}
    tops = []
    operators = [event for event in events if event["cat"] == "cpu_op"]
    for event in sorted(operators, key=lambda event: (event["ts"], -event["ts"] - event["dur"])):
        if event["ts"] >= last.get(event["tid"], -1):
            tops.append(event)
            last[event["tid"]] = event["ts"] + event["dur"]
    kernels = [event["ts"] + event["dur"] for event in events if event["cat"] == "kernel"]
    aten = [event["ts"] for event in tops if event["name"].startswith("aten::")]
    document = exact(trace, join_launches(trace))
    assert document.get("il_ns") == (
        (max(kernels) - min(top["ts"] for top in tops)) * 1000 if kernels and tops else None
    )
    assert document.get("il_aten_first_ns") == ((max(kernels) - min(aten)) * 1000 if kernels and aten else None)


def test_a_nested_driver_call_is_the_launch(tmp_path: Path) -> None:
    events = [
        call("cudaLaunchKernel", 10, 9, 1),
        call("cuLaunchKernelEx", 12, 3, 1, cat="cuda_driver"),
        kernel("k", 20, 5, 1),
    ]
    trace = trace_of(tmp_path, events)
    document = exact(trace, join_launches(trace))
    assert document["launch"]["by_api"] == {"cuLaunchKernelEx": 1}
    assert document["tklqt"]["raw_ns"] == 8000


def test_stream_gaps_and_queue(tmp_path: Path) -> None:
    events = launch_pairs(("a", 0, 2, 10, 10), ("b", 5, 2, 25, 5), ("c", 40, 2, 45, 5), ("d", 46, 2, 100, 1))
    events += [kernel("orphan", 110, 1)]
    trace = trace_of(tmp_path, events)
    stream = exact(trace, join_launches(trace))["streams"]["0/7"]
    assert stream["queue_depth_max"] == 2
    assert stream["gap_ns"] == {"host_wait": 15_000, "short": 5_000, "other": 50_000, "unlaunched": 9_000}


def test_steps_leave_the_gpu_mirror_out(tmp_path: Path) -> None:
    events = [
        host("ProfilerStep#2", 50, 10, "user_annotation"),
        host("ProfilerStep#1", 10, 30, "user_annotation"),
        host("ProfilerStep#1", 12, 30, "gpu_user_annotation"),
        kernel("k", 20, 1),
    ]
    trace = trace_of(tmp_path, events)
    steps = exact(trace, join_launches(trace))["steps"]
    assert steps == [{"name": "ProfilerStep#1", "dur_ns": 30_000}, {"name": "ProfilerStep#2", "dur_ns": 10_000}]


SPANS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), max_size=12)


def columns(spans: list[tuple[int, int]]) -> tuple[I64, I64, set[int]]:
    start = np.array([low for low, _ in spans], np.int64)
    length = np.array([size for _, size in spans], np.int64)
    return start, start + length, {cell for low, size in spans for cell in range(low, low + size)}


@given(SPANS, SPANS, st.integers(0, 80), st.integers(0, 80))
def test_interval_algebra_equals_sets(a: list[tuple[int, int]], b: list[tuple[int, int]], low: int, high: int) -> None:
    (start_a, end_a, cells_a), (start_b, end_b, cells_b) = columns(a), columns(b)
    union_a, union_b = union(start_a, end_a), union(start_b, end_b)
    assert union_a.length == len(cells_a)
    assert intersection(union_a, union_b).length == len(cells_a & cells_b)
    assert gaps(union_a, low, high).length == len(set(range(low, high)) - cells_a)
    inside = covered(union_a, np.array([low]), np.array([max(low, high)]))
    assert inside.tolist() == [len(cells_a & set(range(low, high)))]
