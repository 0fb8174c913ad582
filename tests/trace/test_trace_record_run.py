"""The native recorder inside a running program, with a stand-in for CUPTI: no GPU, no driver."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.record import library, runner
from gpuprobe.trace.record.library import recorder_library
from gpuprobe.trace.record.runner import Order, record
from gpuprobe.trace.record.toolchain import Headers, find_compiler, find_headers
from gpuprobe.trace.record.window import parse_window
from gpuprobe.trace.store import read_gptrace

HERE = Path(__file__).resolve().parent


@pytest.fixture
def run(fake_cupti, tmp_path):
    """Record the test program: (what it does, launches, options) → Recording."""
    program = (sys.executable, str(HERE / "recorded_program.py"))

    def start(what, launches, **options):
        return record(Order((*program, what, str(launches)), tmp_path / "out.gptrace", **options))

    return start


def kernels(trace):
    return len(trace.gpu.start)


def test_everything_arrives_and_the_exit_status_is_the_programs(run, tmp_path):
    recording = run("plain", 5000)
    assert recording.status == 5
    trace = read_gptrace(recording.files[0])
    assert kernels(trace) == len(trace.calls.start) == 5000
    assert join_launches(trace).known.all()
    assert set(trace.gpu.dur.tolist()) == {1000, 2000, 3000}
    assert {trace.texts[name] for name in trace.gpu.name} == {"plain", "square(float*, int)"}
    assert [trace.texts[name] for name in trace.ranges.name] == ["step"]
    assert (trace.gpu.node[::5] == 42).all()
    cost = trace.meta["recorder"]
    assert (cost["records"], cost["dropped"], cost["flushed_at_exit"]) == (10003, 0, True)
    assert cost["bytes"] > 5000 * (88 + 32)
    assert trace.meta["devices"][0]["name"] == "Fake GPU"
    assert trace.warnings == ()
    assert [path.name for path in tmp_path.iterdir()] == ["out.gptrace"]


def test_markers_are_recorded_once_the_program_uses_nvtx(run, monkeypatch):
    monkeypatch.setenv("FAKE_NO_NVTX", "1")
    (trace,) = run("plain", 10).traces
    assert len(trace.ranges.start) == 0
    assert trace.meta["recorder"]["records"] == 21
    (trace,) = run("plain", 10, calls="all").traces
    assert len(trace.ranges.start) == 1


def test_a_kill_keeps_what_was_flushed_and_is_told(run):
    recording = run("kill", 40)
    assert recording.status == 128 + 9
    (trace,) = recording.traces
    assert kernels(trace) == 40
    assert "did not end by its exit handlers" in trace.warnings[0]


def test_a_forked_worker_has_its_own_spool_and_is_flushed_by_exit(run):
    recording = run("fork", 30)
    (trace,) = recording.traces
    assert kernels(trace) == 30
    assert trace.meta["recorder"]["flushed_at_exit"]


def test_recording_ends_after_the_seconds_and_the_program_goes_on(run, monkeypatch):
    monkeypatch.setenv("FAKE_HOLD", "end")  # however slow the machine is, the program's first launches are inside
    recording = run("wait", 25, seconds=0.05)
    (trace,) = recording.traces
    assert recording.status == 5
    assert kernels(trace) == len(trace.calls.start) == 25


def test_nothing_of_before_the_delay_is_in_the_file(run, monkeypatch):
    monkeypatch.setenv("FAKE_HOLD", "begin")
    (trace,) = run("delay", 25, delay=0.001).traces
    assert kernels(trace) == len(trace.calls.start) == 25
    assert [trace.texts[name] for name in trace.ranges.name] == ["step"]
    assert trace.warnings == ()


def test_a_program_that_ends_within_the_delay_is_told(run):
    (trace,) = run("plain", 10, delay=3600).traces
    assert (kernels(trace), len(trace.calls.start)) == (0, 0)
    assert "ended within --delay" in trace.warnings[0]


def test_seconds_count_from_the_end_of_the_delay(run, monkeypatch):
    monkeypatch.setenv("FAKE_HOLD", "begin")
    (trace,) = run("delay", 25, delay=0.001, seconds=3600).traces
    assert kernels(trace) == 25


def test_windows_of_the_profiler_api_are_all_that_is_recorded(run):
    (trace,) = run("profiler", 10, capture="profiler-api").traces
    assert kernels(trace) == len(trace.calls.start) == 20
    told = trace.meta["windows"]
    assert told["count"] == 2
    assert 2e7 < told["recorded_ns"] < told["span_ns"]
    assert "estimates" not in told
    assert trace.gpu.start.max() <= told["begin_ns"][0] + told["recorded_ns"] + 20_000
    assert "2 windows hold" in trace.warnings[0]


def test_calls_between_windows_are_recorded_and_not_written(run, monkeypatch):
    monkeypatch.setenv("FAKE_NO_NVTX", "1")
    (trace,) = run("between", 10, capture="profiler-api").traces
    assert kernels(trace) == len(trace.calls.start) == 10
    device, calls = 6, 4 * 10
    assert trace.meta["recorder"]["records"] == device + calls + 10
    assert trace.meta["source"]["events_by_ph_cat"]["X/cuda_runtime"] == 10


@pytest.mark.parametrize("how", [{"capture": "profiler-api"}, {"sample": (20, 20)}, {"delay": 0.001}])
def test_no_function_is_switched_while_the_program_may_be_in_it(run, monkeypatch, how):
    """The stand-in then gives every later call one number, as CUPTI does."""
    monkeypatch.setenv("GPUPROBE_FLUSH_MS", "1")
    (trace,) = run({"capture": "profiler", "sample": "sample", "delay": "delay"}[next(iter(how))], 20, **how).traces
    assert 0 < kernels(trace) == len(trace.calls.start) == len(np.unique(trace.calls.correlation))
    assert join_launches(trace).known.all()


def test_a_launch_across_a_windows_border_is_left_out_with_its_kernel(run, monkeypatch):
    monkeypatch.setenv("FAKE_BORDERS", "1")
    monkeypatch.setenv("GPUPROBE_FLUSH_MS", "100000")  # the program itself flushes
    (trace,) = run("borders", 10, capture="profiler-api").traces
    assert kernels(trace) == len(trace.calls.start) == 20
    assert join_launches(trace).known.all()
    assert "border" not in {trace.texts[name] for name in trace.gpu.name}
    at_begin, at_end = 2, 2
    assert trace.meta["recorder"]["launches_cut"] == 2 * (at_begin + at_end)
    assert trace.meta["recorder"]["without_call"] == 0


def test_windows_without_calls_are_told(run, monkeypatch):
    monkeypatch.setenv("FAKE_NO_FUNCTIONS", "1")
    (trace,) = run("profiler", 10, capture="profiler-api").traces
    assert (kernels(trace), len(trace.calls.start)) == (20, 0)
    assert any("recorded no call in the windows" in warning for warning in trace.warnings)
    (trace,) = run("profiler", 10, capture="profiler-api", calls="none").traces
    assert not any("recorded no call" in warning for warning in trace.warnings)


def test_what_windows_take_is_told(run):
    meta = run("profiler", 10, capture="profiler-api").traces[0].meta
    assert meta["recorder"]["window_switches"] == 4
    assert 0 < meta["recorder"]["window_seconds"] < meta["run"]["wall_seconds"]


def test_a_program_that_never_starts_the_profiler_is_told(run):
    (trace,) = run("plain", 10, capture="profiler-api").traces
    assert kernels(trace) == 0
    assert "never called cudaProfilerStart" in trace.warnings[0]


def test_samples_record_a_part_and_estimate_the_whole(run):
    (trace,) = run("sample", 5, sample=(20, 20)).traces
    told = trace.meta["windows"]
    assert told["count"] >= 5
    assert 0 < kernels(trace) == len(trace.calls.start)
    assert join_launches(trace).known.all()
    kernel_count = told["estimates"]["kernels"]["count"]
    assert kernel_count[0] == pytest.approx(kernels(trace) * told["span_ns"] / told["recorded_ns"])
    assert kernel_count[1] <= kernel_count[0] <= kernel_count[2]
    assert set(told["estimates"]["by_name"]) == {"plain", "square(float*, int)"}
    assert set(trace.gpu.dur.tolist()) == {1000, 2000, 3000}


def test_calls_can_be_left_out(run):
    (trace,) = run("plain", 10, calls="none").traces
    assert (kernels(trace), len(trace.calls.start)) == (10, 0)


def test_graphs_are_nodes_or_whole(run):
    (nodes,) = run("graph", 0).traces
    assert nodes.gpu.node.tolist() == [1, 2]
    assert any("2 kernels ran in CUDA graphs" in warning for warning in nodes.warnings)
    (whole,) = run("graph", 0, graphs="whole").traces
    assert [whole.texts[name] for name in whole.gpu.name] == ["CUDA graph"]
    assert (whole.gpu.dur.tolist(), whole.gpu.graph.tolist(), whole.gpu.node.tolist()) == ([5000], [3], [0])
    assert any("recorded whole" in warning for warning in whole.warnings)


def test_steps_are_cut_out(run):
    (trace,) = run("twice", 10, window=parse_window(None, "1:2")).traces
    assert kernels(trace) == len(trace.calls.start) == 10
    assert len(trace.ranges.start) == 1


def test_another_cupti_client_is_named_and_the_program_runs_on(run, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_BUSY", "CUPTI for Proton")
    recording = run("plain", 10)
    assert recording.status == 5
    assert recording.files == ()
    assert "another CUPTI client" in recording.notes[-2]
    assert "held by CUPTI for Proton" in recording.notes[-2]
    assert list(tmp_path.iterdir()) == []


def test_a_program_without_cuda_fails_the_recording_only_where_it_succeeded(run, tmp_path):
    order = Order(("true",), tmp_path / "out.gptrace")
    assert record(order).status == 1
    assert "never initialised CUDA" in record(order).notes[-1]
    assert record(Order(("sh", "-c", "exit 7"), tmp_path / "out.gptrace")).status == 7


def test_ranks_get_a_file_each(run, tmp_path, monkeypatch):
    program = f"{sys.executable} {HERE / 'recorded_program.py'} plain"
    script = f"RANK=0 WORLD_SIZE=2 {program} 10; RANK=1 WORLD_SIZE=2 {program} 20; {program} 1; exit 0"
    recording = record(Order(("sh", "-c", script), tmp_path / "out.gptrace"))
    assert [path.name for path in recording.files] == ["out.rank0.gptrace", "out.rank1.gptrace"]
    assert [kernels(trace) for trace in recording.traces] == [11, 20]
    assert [(trace.meta["rank"], trace.meta["world_size"]) for trace in recording.traces] == [(0, 2), (1, 2)]


def test_processes_on_one_gpu_keep_their_streams_and_correlations_apart(run, tmp_path):
    program = f"{sys.executable} {HERE / 'recorded_program.py'} plain"
    (trace,) = record(Order(("sh", "-c", f"{program} 10; {program} 20"), tmp_path / "out.gptrace")).traces
    assert len(set(trace.gpu.correlation.tolist())) == 30
    assert len({lane.stream_label for lane in trace.lanes if lane.stream is not None}) == 2
    assert {lane.device_label for lane in trace.lanes if lane.device is not None} == {"0"}


def test_a_command_that_does_not_exist_is_one_error(run, tmp_path):
    with pytest.raises(GpuprobeError, match="cannot run"):
        record(Order((str(tmp_path / "nothing"),), tmp_path / "out.gptrace"))


def test_an_unreadable_recording_is_kept(run, tmp_path, monkeypatch):
    def fail(path):
        raise GpuprobeError("broken")

    monkeypatch.setattr(runner, "read_spool", fail)
    with pytest.raises(GpuprobeError, match="raw records are kept"):
        run("plain", 10)
    assert list(tmp_path.glob(".out.gptrace.*/*.spool"))


def test_other_profilers_are_refused_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_INJECTION64_PATH", "/opt/other.so")
    with pytest.raises(GpuprobeError, match="another profiler"):
        record(Order(("true",), tmp_path / "out.gptrace"))


def test_no_compiler_and_no_headers_say_what_to_do(monkeypatch, tmp_path):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(GpuprobeError) as error:
        find_compiler()
    assert error.value.exit_code == 3
    assert "apt-get install" in error.value.hint
    monkeypatch.setattr("gpuprobe.trace.record.toolchain._candidates", lambda: iter([tmp_path]))
    with pytest.raises(GpuprobeError, match="headers") as error:
        find_headers()
    assert "pip install" in error.value.hint


def test_cupti_headers_without_cuda_h_borrow_it_from_elsewhere(monkeypatch, tmp_path):
    cupti, cuda = tmp_path / "cupti" / "include", tmp_path / "cuda" / "include"
    for folder in (cupti, cuda):
        folder.mkdir(parents=True)
    (cupti / "cupti_activity.h").touch()
    (cupti / "cupti_version.h").write_text("#define CUPTI_API_VERSION 26\n")
    (cuda / "cuda.h").touch()
    (tmp_path / "cupti" / "lib").mkdir()
    (tmp_path / "cupti" / "lib" / "libcupti.so.12").touch()
    monkeypatch.setattr("gpuprobe.trace.record.toolchain._candidates", lambda: iter([cupti, cuda]))
    found = find_headers()
    assert (found.folders, found.api_version) == ((cupti, cuda), 26)
    assert found.library == tmp_path / "cupti" / "lib" / "libcupti.so.12"


def test_a_build_that_fails_shows_the_compilers_error(monkeypatch, tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'recorder.cpp:1: error: no' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr("gpuprobe.trace.record.library.find_headers", lambda: Headers((tmp_path,), 130001, None))
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GPUPROBE_RECORDER", raising=False)
    with pytest.raises(GpuprobeError, match="error: no"):
        recorder_library()
    assert not list((tmp_path / "cache").rglob("recorder.so"))


def test_a_wheel_that_brings_the_recorder_needs_no_compiler(tmp_path, monkeypatch):
    monkeypatch.delenv("GPUPROBE_RECORDER", raising=False)
    monkeypatch.setattr(library, "PACKAGED", tmp_path / "recorder.so")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "recorder.so").write_bytes(b"built")
    assert recorder_library().library == tmp_path / "recorder.so"
