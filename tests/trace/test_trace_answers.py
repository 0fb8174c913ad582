"""Known answers on traces of a few events, where a wrong rule would still let every sum come out."""

from __future__ import annotations

from pathlib import Path

from synthetic_traces import call, kernel, launch_pairs, trace_of

from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.launches import join_launches


def test_of_calls_that_share_a_correlation_the_one_that_starts_last_launched(tmp_path: Path) -> None:
    """The runtime's call holds the driver's: the driver's is nearer to the launch."""
    events = [call("cudaLaunchKernel", 0, 10, 1), call("cuLaunchKernel", 2, 5, 1), kernel("a", 20, 5, 1)]
    launches = join_launches(trace_of(tmp_path, events))
    assert (launches.start.tolist(), launches.end.tolist()) == ([2_000], [7_000])


def test_a_stream_that_became_idle_during_the_call_was_busy_when_it_began(tmp_path: Path) -> None:
    events = launch_pairs(("a", 0, 1, 5, 10), ("b", 14, 3, 20, 5))
    assert analyze(trace_of(tmp_path, events))["skip"]["found_idle_share"] == 0.5


def test_a_kernel_that_started_as_soon_as_its_launch_lets_it_waited_for_nothing_else(tmp_path: Path) -> None:
    """x ends on another stream between the launch of b and its start; b starts at the floor all the same."""
    events = [
        *launch_pairs(("a", 0, 1, 5, 5), ("b", 12, 1, 17, 3)),
        call("cudaLaunchKernel", 1, 1, 9),
        kernel("x", 6, 7, 9, stream=9),
    ]
    path = analyze(trace_of(tmp_path, events))["critical_path"]
    assert (path["bound_ns"]["gpu_compute"], path["bound_ns"]["launch"], path["bound_ns"]["host"]) == (
        3_000,
        5_000,
        12_000,
    )
    assert [row["name"] for row in path["kernels"]] == ["b"]


def test_a_kernel_before_its_launch_has_no_floor_to_wait_for(tmp_path: Path) -> None:
    """Clocks of host and GPU that disagree: its wait is negative, and takes nothing off the floors of the others."""
    events = launch_pairs(("a", 0, 1, 5, 5), ("b", 20, 1, 18, 5))
    waits = analyze(trace_of(tmp_path, events))["skip"]["tklqt"]["all"]
    assert (waits["raw_ns"], waits["clamped_ns"], waits["floor_ns"], waits["queueing_ns"]) == (3_000, 5_000, 5_000, 0)
    assert waits["negative"] == 1
