"""The analyses: what must sum to what on any trace, and known answers on small ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from synthetic_traces import Event, call, event_lists, host, kernel, launch_pairs, trace_of, write_json

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.diff import diff
from gpuprobe.trace.ranks import rank_report, summarise
from gpuprobe.trace.read import read_trace
from gpuprobe.trace.verdict import turning_point

IN_TMP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=120)


def analysed(tmp_path: Path, events: list[Event], **keys: Any) -> dict[str, Any]:
    return analyze(trace_of(tmp_path, events, **keys))


@IN_TMP
@given(event_lists())
def test_parts_sum_to_their_wholes(tmp_path: Path, events: list[Event]) -> None:
    document = analysed(tmp_path, events)
    json.dumps(document, allow_nan=False)
    for label, device in document["exact"]["devices"].items():
        idle = document["idle"][label]
        assert sum(idle["causes_ns"].values()) == idle["idle_ns"] == device["idle_ns"]
        assert all(value >= 0 for value in idle["causes_ns"].values())
        parts = document["breakdown"]["devices"][label]
        assert parts["idle_ns"] == device["idle_ns"]
    for group in ("devices", "streams"):
        for parts in document["breakdown"][group].values():
            own = [parts[key] for key in ("compute_ns", "exposed_communication_ns", "exposed_memory_ns", "idle_ns")]
            assert sum(own) == parts["span_ns"] and min(own) >= 0
    for window in document["breakdown"]["steps"] + document["breakdown"]["phases"]:
        keys = ("compute_ns", "exposed_communication_ns", "exposed_memory_ns", "idle_ns")
        assert sum(window[key] for key in keys) == window["window_ns"]
    path = document["critical_path"]
    assert sum(path["bound_ns"].values()) == path["window_ns"]
    assert min(path["bound_ns"].values()) >= 0
    for waits in document["skip"]["tklqt"].values():
        assert waits["floor_ns"] + waits["queueing_ns"] == waits["clamped_ns"] >= waits["raw_ns"]
    assert document["skip"]["tklqt"]["all"]["raw_ns"] == document["exact"]["tklqt"]["raw_ns"]
    assert document["skip"]["tklqt"]["no_graph"]["n"] == document["exact"]["tklqt"]["n_no_graph"]
    assert sum(row["sum_ns"] for row in document["kernels"]) == document["exact"]["gpu"]["dur_sum_ns"]
    assert sum(row["gpu_events"] for row in document["launches"]["by_api"]) == document["exact"]["launch"]["launched"]
    for label, stream in document["exact"]["streams"].items():
        assert document["queue"][label]["depth_max"] == stream["queue_depth_max"]
    assert document["fusion"]["launches_saved"] <= document["fusion"]["kernels_considered"]


def test_idle_causes(tmp_path: Path) -> None:
    events = [
        *launch_pairs(("a", 0, 2, 5, 10), ("b", 1, 2, 17, 3), ("c", 30, 2, 36, 4), ("d", 60, 2, 70, 5)),
        call("cudaDeviceSynchronize", 40, 10),
        kernel("orphan", 80, 1),
    ]
    document = analysed(tmp_path, events)
    # floor 5 us (a: 0→5, c: 30→36, d: 60→70); gaps 15-17 queued, 20-36 late, 40-70 sync 10 + late 10 + launch, 75-80
    assert document["skip"]["floor"]["ns"] == 5_000
    assert document["idle"]["0"]["causes_ns"] == {
        "host": 20_000,
        "host_sync": 10_000,
        "launch": 10_000,
        "dependency": 0,
        "graph": 0,
        "scheduling": 2_000 + 1_000 + 5_000,
        "unknown": 5_000,
    }


def test_waiting_for_another_stream_is_a_dependency(tmp_path: Path) -> None:
    wait = {"cuda_sync_kind": "Stream Wait Event", "stream": 9, "device": 0, "wait_on_stream": 7, "correlation": 8}
    events = [
        *launch_pairs(("a", 0, 1, 5, 10)),
        call("cudaLaunchKernel", 1, 1, 11),
        kernel("first", 5, 3, 11, stream=9),
        {**host("Stream Wait Event", 2, 0, "cuda_sync"), "args": wait},
        call("cudaLaunchKernel", 4, 1, 12),
        kernel("waited", 20, 3, 12, stream=9),
        call("cudaLaunchKernel", 6, 1, 13),
        kernel("told nothing more", 30, 3, 13, stream=9),
    ]
    causes = analysed(tmp_path, events)["idle"]["0"]["causes_ns"]
    assert (causes["dependency"], causes["scheduling"], sum(causes.values())) == (5_000, 7_000, 12_000)


def test_graph_launch_is_charged_once(tmp_path: Path) -> None:
    events = [call("cudaGraphLaunch", 0, 3, 1), kernel("a", 10, 2, 1), kernel("b", 14, 2, 1), kernel("c", 20, 2, 1)]
    document = analysed(tmp_path, events)
    tklqt = document["skip"]["tklqt"]
    assert (tklqt["all"]["raw_ns"], tklqt["no_graph"]["n"], tklqt["graph_once"]["raw_ns"]) == (44_000, 0, 10_000)
    assert document["idle"]["0"]["causes_ns"]["graph"] == 6_000
    assert document["fusion"]["kernels_considered"] == 0
    assert document["launches"]["by_api"][0]["events_per_call"] == 3.0


def test_the_first_kernel_of_a_graph_waits_for_its_launch_and_not_for_the_graph(tmp_path: Path) -> None:
    events = [*launch_pairs(("a", 0, 1, 5, 5)), call("cudaGraphLaunch", 12, 3, 7), kernel("b", 30, 2, 7)]
    causes = analysed(tmp_path, events)["idle"]["0"]["causes_ns"]
    assert (causes["host"], causes["launch"], causes["scheduling"], causes["graph"]) == (2_000, 5_000, 13_000, 0)


def repeated(names: str, times: int) -> list[Event]:
    rows = [(name, 0.0 + index, 0.5, 100.0 + index * 10, 5.0) for index, name in enumerate(names * times)]
    return launch_pairs(*rows)


def test_fusion_finds_the_longest_chain_that_always_occurs(tmp_path: Path) -> None:
    assert analysed(tmp_path, repeated("abcx", 1))["fusion"]["candidates"] == 0
    fusion = analysed(tmp_path, [event for at in range(3) for event in apart("abc", at)])["fusion"]
    (chain,) = fusion["chains"]
    assert (chain["kernels"], chain["occurrences"], chain["launches_saved"]) == (["a", "b", "c"], 3, 6)
    assert fusion["ideal_speedup_of_launching"] == 3.0
    assert chain["saved_ns"] == fusion["saved_ns"] == 6 * fusion["launch_cost_ns"] > 0
    sometimes = [event for at, names in enumerate(("abx", "aby", "acz")) for event in apart(names, at)]
    assert analysed(tmp_path, sometimes)["fusion"]["candidates"] == 0


def apart(names: str, at: int) -> list[Event]:
    """A run of kernels that ends in a synchronisation."""
    events = [call("cudaDeviceSynchronize", at * 1000 + 900, 5)]
    for index, name in enumerate(names):
        correlation = at * 100 + index + 1
        events.append(call("cudaLaunchKernel", at * 1000 + index, 0.5, correlation))
        events.append(kernel(name, at * 1000 + 10 + index * 10, 5, correlation))
    return events


def test_fusion_stops_at_streams_and_synchronisation(tmp_path: Path) -> None:
    def pairs(sync: bool, streams: tuple[int, int]) -> list[Event]:
        events = []
        for index in range(6):
            at = index * 100
            events += [
                call("cudaLaunchKernel", at, 1, 2 * index + 1),
                kernel("a", at + 5, 5, 2 * index + 1, streams[0]),
            ]
            events += [call("cudaStreamSynchronize", at + 11, 2)] if sync else []
            events += [
                call("cudaLaunchKernel", at + 15, 1, 2 * index + 2),
                kernel("b", at + 20, 5, 2 * index + 2, streams[1]),
            ]
            events += [call("cudaStreamSynchronize", at + 30, 2)]
        return events

    fused = analysed(tmp_path, pairs(False, (7, 7)))["fusion"]
    assert (fused["launches_saved"], fused["chains"][0]["kernels"]) == (6, ["a", "b"])
    assert fused["saved_ns"] == 6_000
    assert analysed(tmp_path, pairs(True, (7, 7)))["fusion"]["candidates"] == 0
    assert analysed(tmp_path, pairs(False, (7, 8)))["fusion"]["candidates"] == 0


def test_critical_path_of_a_launch_bound_and_a_queued_run(tmp_path: Path) -> None:
    late = launch_pairs(("a", 0, 2, 5, 1), ("a", 100, 2, 105, 1), ("a", 200, 2, 205, 1))
    assert analysed(tmp_path, late)["critical_path"]["bound_ns"]["host"] == 200_000
    queued = launch_pairs(("a", 0, 1, 5, 100), ("a", 2, 1, 106, 100), ("a", 4, 1, 207, 100))
    bound = analysed(tmp_path, queued)["critical_path"]["bound_ns"]
    assert (bound["gpu_compute"], bound["gpu_gap"], bound["launch"]) == (300_000, 2_000, 5_000)


def test_critical_path_goes_through_a_synchronisation(tmp_path: Path) -> None:
    events = [*launch_pairs(("a", 0, 1, 5, 50), ("b", 70, 1, 75, 10)), call("cudaDeviceSynchronize", 2, 58)]
    bound = analysed(tmp_path, events)["critical_path"]["bound_ns"]
    assert bound["gpu_compute"] == 60_000
    assert (bound["sync_return"], bound["host"], bound["launch"]) == (5_000, 10_000, 10_000)


def test_copies_and_bandwidth(tmp_path: Path) -> None:
    events = [
        kernel("Memcpy HtoD", 0, 10, cat="gpu_memcpy", bytes=10_000),
        kernel("Memcpy HtoD", 20, 10, cat="gpu_memcpy", bytes=30_000),
        kernel("Memcpy HtoD", 40, 0, cat="gpu_memcpy", bytes=5),
        kernel("k", 25, 20, stream=8),
    ]
    (row,) = analysed(tmp_path, events)["copies"]
    assert row["bandwidth_bytes_per_s"] == pytest.approx(2e9)
    assert (row["count"], row["bytes"], row["behind_compute_ns"]) == (3, 40_005, 5_000)


def test_kernel_table_statistics(tmp_path: Path) -> None:
    events = [kernel("k", index * 100, dur) for index, dur in enumerate([1, 2, 3, 4, 10])] + [kernel("z", 900, 5)]
    row = analysed(tmp_path, events)["kernels"][0]
    assert (row["name"], row["count"], row["sum_ns"], row["share"]) == ("k", 5, 20_000, 0.8)
    assert (row["min_ns"], row["mean_ns"], row["median_ns"], row["max_ns"]) == (1000, 4000, 3000, 10_000)
    assert row["p95_ns"] == pytest.approx(8800)
    assert row["std_ns"] == pytest.approx(3162.2776)


def test_phases_attribute_by_launch(tmp_path: Path) -> None:
    events = [*launch_pairs(("a", 10, 1, 50, 20), ("b", 30, 1, 70, 7)), host("prefill", 5, 20, "user_annotation")]
    (phase,) = analysed(tmp_path, events)["breakdown"]["phases"]
    assert (phase["name"], phase["launched_events"], phase["launched_gpu_ns"]) == ("prefill", 1, 20_000)
    assert phase["idle_ns"] == phase["window_ns"] == 20_000


def test_no_gpu_events_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GpuprobeError, match="no GPU events"):
        analysed(tmp_path, [host("aten::mm", 0, 5)])


def test_verdict_and_remarks(tmp_path: Path) -> None:
    late = launch_pairs(*[("a", 100.0 * index, 2, 100.0 * index + 5, 1) for index in range(5)])
    assert analysed(tmp_path, late)["verdict"]["bound"] == "cpu"
    queued = launch_pairs(*[("a", 1.0 * index, 0.5, 5 + 50.0 * index, 50) for index in range(9)])
    document = analysed(tmp_path, queued, roctracer_version=4)
    assert document["verdict"]["bound"] == "gpu"
    assert document["vendor"] == "amd" and any("AMD" in line for line in document["warnings"])


def test_collectives_and_their_bandwidth(tmp_path: Path) -> None:
    words = {"Collective name": "allreduce", "dtype": "BFloat16", "Group size": 4, "In msg nelems": 500_000}
    gather = {**words, "Collective name": "_allgather_base", "Out msg nelems": 2_000_000}
    odd = {**words, "dtype": "strange", "Group size": "x", "In msg nelems": [1]}
    events = [kernel("ncclDevKernel_AllReduce", 100 * index, dur, **words) for index, dur in enumerate((10, 40, 20))]
    events += [kernel("ncclDevKernel_AllGather", 1000, 40, **gather), kernel("ncclDevKernel_Send", 2000, 0, **odd)]
    reduce, gathered, last = analysed(tmp_path, [*events, kernel("gemm", 3000, 5, **words)])["collectives"]
    assert (reduce["count"], reduce["bytes"], reduce["sum_ns"]) == (3, 1_000_000, 70_000)
    assert reduce["best_algorithm_bytes_per_s"] == pytest.approx(1e11)
    assert reduce["best_bus_bytes_per_s"] == pytest.approx(1.5e11)
    assert reduce["median_bus_bytes_per_s"] == pytest.approx(0.75e11)
    assert (gathered["bytes"], gathered["best_bus_bytes_per_s"]) == (4_000_000, pytest.approx(0.75e11))
    assert (last["bytes"], last["ranks"], last["best_bus_bytes_per_s"]) == (None, None, None)


def test_turning_point_of_a_sweep() -> None:
    sweep = turning_point([1, 2, 4, 8, 16, 32], [11, 10, 10.5, 12, 40, 90])
    assert (sweep["turns_at"], sweep["flat_until"], sweep["flat_ns"]) == (16, 8, 10)
    assert turning_point([1, 2, 4], [10, 14, 20])["turns_at"] == 4  # more than one and a half times the flat level
    assert turning_point([1, 2], [10, 11])["turns_at"] is None
    assert turning_point([4, 1], [50, 10])["turns_at"] == 4


def ranks(tmp_path: Path, *numbers: int) -> dict[str, Any]:
    """Rank 1 arrives late at every collective; rank clocks are 5 ms apart."""
    traces = []
    for place, number in enumerate(numbers):
        events = []
        for index in range(4):
            end = 1000 * (index + 1) + 5000 * place
            length = 10 if number == 1 else 60
            events += [kernel("ncclDevKernel_AllReduce", end - length, length), kernel("gemm", end - 90, 50, stream=8)]
        path = write_json(tmp_path / f"rank{place}.json", events, distributedInfo={"rank": number, "world_size": 2})
        traces.append(summarise(read_trace(path)))
    return rank_report(traces)


def test_stragglers_and_clock_offsets(tmp_path: Path) -> None:
    report = ranks(tmp_path, 0, 1)
    assert report["straggler"] == "1"
    assert [row["waiting_ns"] for row in report["ranks"]] == [200_000, 0]
    assert [row["came_last"] for row in report["ranks"]] == [0, 4]
    assert [row["clock_offset_ns"] for row in report["ranks"]] == [0, 5_000_000]
    assert any("clocks" in line for line in report["warnings"])


def test_two_files_of_one_rank_are_told_apart(tmp_path: Path) -> None:
    report = ranks(tmp_path, 0, 0)
    assert [row["rank"] for row in report["ranks"]] == ["0 (file 1)", "0 (file 2)"]
    assert any("rank 0" in line for line in report["warnings"])
    assert report["straggler"] is None  # all waited alike
    assert [row["came_last"] for row in report["ranks"]] == [0, 0]


def test_events_that_end_before_they_begin_are_told(tmp_path: Path) -> None:
    document = analyze(trace_of(tmp_path, [kernel("a", 10, -3), kernel("b", 20, 5)]))
    assert any("1 GPU events end before they begin" in line for line in document["warnings"])


def stepped(scale: float, steps: int = 8) -> list[Event]:
    events = []
    for step in range(steps):
        at = 1000 * step
        events += [
            host(f"ProfilerStep#{step}", at, 900, "user_annotation"),
            call("cudaLaunchKernel", at + 10, 2, step + 1),
        ]
        events.append(kernel("gemm", at + 20, (100 + step % 3) * scale, step + 1))
    return events


def test_diff_with_significance(tmp_path: Path) -> None:
    base = trace_of(tmp_path, stepped(1))
    slower = diff(base, trace_of(tmp_path, [*stepped(1.5), kernel("new", 8000, 1)]))
    rows = {row["name"]: row for row in slower["kernels"]}
    assert slower["tested"]
    assert (rows["gemm"]["verdict"], rows["new"]["verdict"]) == ("slower", "only_b")
    assert diff(base, base)["kernels"][0]["verdict"] == "same"
    assert diff(base, trace_of(tmp_path, [kernel("gemm", 0, 1)]))["kernels"][0]["verdict"] == "untested"


def test_diff_of_different_numbers_of_steps_compares_a_step(tmp_path: Path) -> None:
    """Half the steps of 1.5 times the length: the sum falls, the step is slower."""
    (row,) = diff(trace_of(tmp_path, stepped(1)), trace_of(tmp_path, stepped(1.5, 4)))["kernels"]
    assert row["ratio"] < 0.8
    assert row["per_step_ratio"] == pytest.approx(1.5, rel=0.02)
    low, high = row["per_step_interval"]
    assert 1.4 < low < row["per_step_ratio"] < high < 1.6
    assert row["verdict"] == "slower"
    (untested,) = diff(trace_of(tmp_path, stepped(1, 2)), trace_of(tmp_path, stepped(1.5, 2)))["kernels"]
    assert (untested["verdict"], untested["per_step_ratio"]) == ("untested", None)
