"""nsys exports: schema variants, lazy tables, several processes, and the same numbers as Kineto of the same run."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_traces import call, host, kernel, trace_of

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.exact import exact
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import Trace
from gpuprobe.trace.read import read_trace

PID, OTHER_PID = 77, 78
TEXTS = {
    1: "gemm<float, 128>",
    2: "cudaLaunchKernel_v7000",
    3: "cuLaunchKernelEx",
    4: "cudaMemcpyAsync_ptsz_v7000",
    5: "prefill",
}


def gid(pid: int, tid: int = 0) -> int:
    return (1 << 48) | (pid << 24) | tid


def export(path: Path, tables: dict[str, list[dict[str, Any]]]) -> Path:
    """An SQLite file with these tables; a table's columns are the keys of its first row."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    for name, rows in {"StringIds": [{"id": key, "value": text} for key, text in TEXTS.items()], **tables}.items():
        connection.execute(f"CREATE TABLE {name} ({', '.join(rows[0])})")
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", [tuple(row.values()) for row in rows])
    connection.commit()
    connection.close()
    return path


def gpu_row(start: int, end: int, correlation: int, pid: int = PID, **other: Any) -> dict[str, Any]:
    place = {"deviceId": 0, "streamId": 7, "correlationId": correlation, "globalPid": gid(pid)}
    return {"start": start, "end": end, **place, **other}


def call_row(start: int, end: int, correlation: int, name: int = 2, pid: int = PID) -> dict[str, Any]:
    return {"start": start, "end": end, "globalTid": gid(pid, 5), "correlationId": correlation, "nameId": name}


KERNELS = [gpu_row(20_000, 25_000, 1, demangledName=1), gpu_row(30_500, 31_000, 2, demangledName=1)]
CALLS = [call_row(10_000, 15_000, 1), call_row(11_000, 12_000, 2, 3)]
FULL = {
    "CUPTI_ACTIVITY_KIND_KERNEL": KERNELS,
    "CUPTI_ACTIVITY_KIND_RUNTIME": [*CALLS, call_row(32_000, 33_000, 3, 4)],
    "CUPTI_ACTIVITY_KIND_MEMCPY": [gpu_row(40_000, 42_000, 3, bytes=4096, copyKind=1, srcKind=0, dstKind=2)],
    "NVTX_EVENTS": [
        {"start": 9_000, "end": 50_000, "eventType": 59, "text": None, "textId": 5, "globalTid": gid(PID, 5)}
    ],
    "TARGET_INFO_GPU": [{"id": 0, "name": "H100", "smCount": 132}],
    "TARGET_INFO_SESSION_START_TIME": [{"utcEpochNs": 1746682028188399729}],
}


def numbers(trace: Trace) -> dict[str, Any]:
    document = exact(trace, join_launches(trace))
    document.pop("trace")
    return document


def test_nsys_and_kineto_agree_on_one_run(tmp_path: Path) -> None:
    trace = read_trace(export(tmp_path / "t.sqlite", FULL))
    kineto = [
        kernel("gemm<float, 128>", 20, 5, 1),
        kernel("gemm<float, 128>", 30.5, 0.5, 2),
        kernel("Memcpy HtoD (Pageable -> Device)", 40, 2, 3, cat="gpu_memcpy", bytes=4096),
        call("cudaLaunchKernel", 10, 5, 1),
        call("cuLaunchKernelEx", 11, 1, 2, cat="cuda_driver"),
        call("cudaMemcpyAsync", 32, 1, 3),
        host("prefill", 9, 41, "user_annotation"),
    ]
    other = trace_of(tmp_path, kineto)
    assert numbers(trace) == numbers(other)
    a, b = analyze(trace), analyze(other)
    for key in ("kernels", "idle", "skip", "queue", "copies", "fusion", "critical_path", "verdict", "launches"):
        assert a[key] == b[key], key
    assert a["breakdown"]["phases"] == b["breakdown"]["phases"]
    assert trace.meta["base_ns"] == 1746682028188399729
    assert a["devices"] == ["H100"]


def test_lazy_tables_and_old_columns(tmp_path: Path) -> None:
    old = [{"start": 5, "end": 9, "deviceId": 0, "streamId": 7, "correlationId": 1, "shortName": 1}]
    trace = read_trace(export(tmp_path / "t.sqlite", {"CUPTI_ACTIVITY_KIND_KERNEL": old}))
    assert trace.texts[trace.gpu.name[0]] == TEXTS[1]
    assert (len(trace.calls.start), len(trace.ranges.start)) == (0, 0)


def test_correlations_belong_to_their_process(tmp_path: Path) -> None:
    tables = {
        "CUPTI_ACTIVITY_KIND_KERNEL": [*KERNELS, gpu_row(60_000, 61_000, 1, OTHER_PID, demangledName=1)],
        "CUPTI_ACTIVITY_KIND_RUNTIME": [*CALLS, call_row(55_000, 56_000, 1, 2, OTHER_PID)],
    }
    trace = read_trace(export(tmp_path / "t.sqlite", tables))
    launches = join_launches(trace)
    assert launches.start.tolist() == [10_000, 11_000, 55_000]


def test_graphs_recorded_as_a_whole_are_told(tmp_path: Path) -> None:
    graph = [gpu_row(100, 900, 9, graphId=4)]
    trace = read_trace(export(tmp_path / "t.sqlite", {**FULL, "CUPTI_ACTIVITY_KIND_GRAPH_TRACE": graph}))
    assert "cuda-graph-trace=node" in trace.warnings[0]
    assert trace.gpu.graph.max() == 4


def test_an_sqlite_file_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(GpuprobeError, match="Nsight"):
        read_trace(export(tmp_path / "t.sqlite", {"songs": [{"title": "x"}]}))


def test_a_view_is_never_read(tmp_path: Path) -> None:
    path = export(tmp_path / "t.sqlite", {"TARGET_INFO_GPU": [{"id": 0}]})
    connection = sqlite3.connect(path)
    endless = "WITH RECURSIVE n(start) AS (SELECT 1 UNION ALL SELECT start + 1 FROM n) SELECT start FROM n"
    connection.execute(f"CREATE VIEW CUPTI_ACTIVITY_KIND_KERNEL AS {endless}")
    connection.commit()
    connection.close()
    assert len(read_trace(path).gpu.start) == 0


VALUES = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=3), st.floats(), st.binary(max_size=3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.data())
def test_odd_values_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(FULL)))
    row = dict(FULL[name][0])
    row[data.draw(st.sampled_from(list(row)))] = data.draw(VALUES)
    path = export(tmp_path / "t.sqlite", {**FULL, name: [row]})
    try:
        trace = read_trace(path)
        if len(trace.gpu.start):
            analyze(trace)
    except GpuprobeError as error:
        assert "\n" not in error.message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(16, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_files_are_read_or_refused(tmp_path: Path, flips: list[tuple[int, int]]) -> None:
    path = export(tmp_path / "t.sqlite", FULL)
    raw = bytearray(path.read_bytes())
    for position, value in flips:
        raw[position % len(raw)] = value
    path.write_bytes(raw)
    try:
        read_trace(path)
    except GpuprobeError as error:
        assert str(error)
