"""Workloads: the points of a sweep, a recording cut into them, and where a sweep turns."""

import json
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from synthetic_traces import call, host, kernel, trace_of

from gpuprobe.cli import main
from gpuprobe.cli.trace_view import show_sweep
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.llm import __main__ as program
from gpuprobe.gpu.llm.plan import MODELS, Point, points
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.flame import NO_LAUNCH, flame
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.record.runner import Recording
from gpuprobe.trace.store import write_trace
from gpuprobe.trace.sweep import point_row, split, sweep_report


def test_points_are_every_phase_at_every_batch():
    found = points("llama-1b", ["prefill", "decode"], [1, 4, 4], 512, "eager")
    assert [point.file for point in found[1:3]] == [
        "llama-1b-prefill-b4-c512-eager",
        "llama-1b-decode-b1-c512-eager",
    ]
    assert [point.tokens for point in found] == [512, 2048, 1, 4]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "llama-9b"}, "no model"),
        ({"phases": ["train"]}, "no phase 'train'"),
        ({"phases": []}, "no phase"),
        ({"batches": [0]}, "1 to 4096"),
        ({"batches": []}, "1 to 4096"),
        ({"context": 0}, "tokens here"),
        ({"model": "gpt2", "context": 4096}, "1 to 3584 tokens"),
        ({"phases": ["lora"], "mode": "graph"}, "not captured"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_starts(changed, message):
    chosen = {"model": "llama-1b", "phases": ["decode"], "batches": [1], "context": 512, "mode": "eager", **changed}
    with pytest.raises(GpuprobeError, match=message):
        points(**chosen)


def test_models_have_known_families_and_heads_that_divide():
    for model in MODELS.values():
        assert model.family in ("llama", "qwen2", "mixtral", "gpt2")
        if "num_attention_heads" in model.config:
            assert model.config["hidden_size"] % model.config["num_attention_heads"] == 0
            assert model.config["num_attention_heads"] % model.config["num_key_value_heads"] == 0


BATCHES = (1, 4, 16)
WAITS_US = (5, 5, 80)


def recording(tmp_path):
    """Three points of two steps; from batch 16 on kernels wait in the queue."""
    events, now, correlation = [], 1000, 0
    for batch, wait in zip(BATCHES, WAITS_US, strict=True):
        point = Point("llama-1b", "decode", batch, 512)
        begin = now
        for step in range(2):
            opened = now
            for _ in range(5):
                correlation += 1
                events.append(call("cudaLaunchKernel", now, 2, correlation))
                events.append(kernel("k", now + wait, 10, correlation))
                now += 20
            now += wait
            events.append(host(f"ProfilerStep#{step}", opened, now - opened, "user_annotation"))
            events.append(host("decode", opened, now - opened, "user_annotation"))
        events.append(host(point.name, begin, now - begin, "user_annotation"))
        now += 500
    return trace_of(tmp_path, events), [
        {**Point("llama-1b", "decode", batch, 512).describe(), "name": f"llama-1b decode b{batch} c512 eager"}
        for batch in BATCHES
    ]


def test_a_recording_is_cut_into_its_points_and_the_turn_is_found(tmp_path):
    trace, described = recording(tmp_path)
    parts = split(trace, described)
    assert [len(part.gpu.start) for part in parts] == [10, 10, 10]
    rows = [point_row(analyze(part)) for part in parts]
    assert [row["tklqt_per_kernel_ns"] for row in rows] == [5000, 5000, 80_000]
    assert [row["steps"] for row in rows] == [2, 2, 2]
    assert rows[1]["tokens_per_s"] == pytest.approx(4 / 105e-6)
    (series,) = sweep_report(rows[::-1])
    assert (series["turns_at"], series["flat_until"]) == (16, 4)
    assert [point["batch"] for point in series["points"]] == [1, 4, 16]
    assert "5.0 us a kernel at batch 4" in series["evidence"]
    assert "80.0 us a kernel at batch 16" in series["evidence"]
    (flat,) = sweep_report(rows[:2])
    assert flat["turns_at"] is None
    assert "never rises" in flat["evidence"]
    (single,) = sweep_report(rows[:1])
    assert "no turn" in single["evidence"]


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (["cpu", "cpu"], "stays CPU-bound"),
        (["gpu"], "is GPU-bound throughout"),
        (["gpu", "cpu"], "shows no turn (bound: cpu, gpu)"),
        (["unknown"], "shows no turn (bound: unknown)"),
    ],
)
def test_a_sweep_without_a_turn_says_what_its_points_are_bound_by(bounds, told, tmp_path, capsys):
    trace, described = recording(tmp_path)
    row = point_row(analyze(split(trace, described[:1])[0]))
    show_sweep(
        {"sweeps": sweep_report([{**row, "batch": batch, "bound": bound} for batch, bound in enumerate(bounds)])}
    )
    assert capsys.readouterr().out.splitlines()[0] == f"llama-1b decode, context 512, eager: {told}"


def test_a_point_that_is_missing_is_an_error(tmp_path):
    trace, described = recording(tmp_path)
    with pytest.raises(GpuprobeError, match="holds no range"):
        split(trace, [{**described[0], "name": "llama-1b decode b2 c512 eager"}])


def test_the_sweep_command_reads_the_files_of_a_workload(tmp_path, capsys):
    trace, described = recording(tmp_path)
    files = []
    for number, part in enumerate(split(trace, described)):
        files.append(str(tmp_path / f"{number}.gptrace"))
        write_trace(part, tmp_path / f"{number}.gptrace")
    assert main(["trace", "sweep", *files]) == 0
    assert "turns GPU-bound at batch 16" in capsys.readouterr().out
    write_trace(trace, tmp_path / "whole.gptrace")
    assert main(["trace", "sweep", str(tmp_path / "whole.gptrace")]) == 2
    assert "which point" in capsys.readouterr().err


class OutOfMemoryError(RuntimeError):
    pass


@pytest.fixture
def torch(monkeypatch):
    """A stand-in with a GPU."""
    cuda = SimpleNamespace(OutOfMemoryError=OutOfMemoryError, empty_cache=lambda: None, is_available=lambda: True)
    fake = SimpleNamespace(cuda=cuda, manual_seed=lambda seed: None, no_grad=nullcontext)
    monkeypatch.setattr(program, "load", lambda package: fake)
    return fake


@pytest.mark.parametrize(
    ("error", "message", "exit_code"),
    [
        (OutOfMemoryError("CUDA out of memory"), "does not fit into the GPU's memory", 3),
        (RuntimeError("backend failed\nat line 3"), "eager failed: backend failed$", 1),
        (RuntimeError(), "eager failed: RuntimeError$", 1),
        (GpuprobeError("peft is missing", exit_code=Exit.MACHINE_LACKS), "peft is missing", 3),
    ],
)
def test_a_point_that_fails_is_left_out_and_told(torch, monkeypatch, tmp_path, error, message, exit_code):
    def timed(point, steps, seconds, device):
        if point.batch == 4:
            raise error
        return [0.5] * steps

    monkeypatch.setattr(program, "_timed", timed)
    results = tmp_path / "results.json"
    options = ["--batch", "1,4,16", "--steps", "2", "--results", str(results)]
    assert program.main(["llama-tiny", *options]) == exit_code
    written = json.loads(results.read_text())
    assert [point["batch"] for point in written["points"]] == [1, 16]
    assert written["points"][0]["step_s"] == [0.5, 0.5]
    (failed,) = written["failed"]
    assert failed["name"] == "llama-tiny decode b4 c512 eager"
    assert re.search(message, failed["problem"])


def test_a_workload_without_a_gpu_is_one_line(torch, capsys):
    torch.cuda.is_available = lambda: False
    assert program.main(["llama-tiny"]) == 3
    assert capsys.readouterr().err.startswith("PyTorch finds no CUDA GPU here\n  hint:")
    assert program.main(["llama-tiny", "--batch", "many"]) == 2


def test_traces_are_written_of_the_points_that_ran(tmp_path, monkeypatch, capsys):
    trace, described = recording(tmp_path)

    def record(order):
        results = Path(order.command[order.command.index("--results") + 1])
        failed = [{"name": described[1]["name"], "problem": "b4 does not fit"}]
        results.write_text(json.dumps({"dtype": "bfloat16", "points": described[::2], "failed": failed}))
        return Recording(3, (), (trace,), ())

    monkeypatch.setattr("gpuprobe.trace.record.runner.record", record)
    folder = tmp_path / "traces"
    options = ["--phase", "decode", "--batch", "1,4,16", "-o", str(folder)]
    assert main(["workload", "llama-1b", *options]) == 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "llama-1b-decode-b1-c512-eager.gptrace",
        "llama-1b-decode-b16-c512-eager.gptrace",
        "sweep.json",
    ]
    shown = capsys.readouterr()
    assert "no trace of a point: b4 does not fit" in shown.err
    assert "turns GPU-bound at batch 16" in shown.out


def test_models_are_listed_and_a_missing_one_is_wrong_use(capsys, tmp_path):
    assert main(["workload", "--list"]) == 0
    assert "llama-1b" in capsys.readouterr().out
    assert main(["workload"]) == 2
    assert main(["workload", "llama-1b", "--batch", "one", "-o", str(tmp_path)]) == 2


def test_the_flame_tree_conserves_the_time(tmp_path):
    events = [
        host("outer", 0, 30, "user_annotation"),
        host("aten::mm", 2, 10),
        host("ProfilerStep#0", 0, 40, "user_annotation"),
    ]
    events += [call("cudaLaunchKernel", 3, 1, 1), kernel("gemm", 50, 7, 1), kernel("lost", 60, 5, 9)]
    trace = trace_of(tmp_path, events)
    root = flame(trace, join_launches(trace))
    assert root.ns == 12_000
    assert root.child("outer").child("aten::mm").child("gemm").ns == 7000
    assert root.child(NO_LAUNCH).child("lost").ns == 5000
    assert sum(node.ns for node in root.children()) == root.ns
