"""torch.profiler in the recorder's place, and what only Python adds: with a stand-in for torch and one for CUPTI."""

import json
import sys

import pytest

from gpuprobe.trace.record.runner import Order, record
from gpuprobe.trace.store import read_gptrace

FAKE_TORCH = """
import ctypes, json, os
from types import SimpleNamespace as N
class base:
    active = None
    def __enter__(self):
        self._prepare_trace()
        return self
    def _prepare_trace(self):
        if base.active: raise SystemExit("two profilers at once")  # torch 2.13 loses the first, or crashes
        base.active = self
        self.kernels = 0
    def __exit__(self, *_):
        base.active = None
class profile:
    def __init__(self, activities=(), record_shapes=False): self.profiler = base()
    def __enter__(self): self.profiler.__enter__(); return self
    def __exit__(self, *exception): self.profiler.__exit__(*exception)
    def export_chrome_trace(self, path):
        event = {"ph": "X", "name": "k", "pid": 0, "tid": 7, "ts": 1.5, "dur": 2, "args": {"correlation": 1}}
        gpu = {"cat": "kernel", "args": {"device": 0, "stream": 7, "correlation": 1}}
        event |= {"cat": "cpu_op"} if os.environ.get("FAKE_BLIND") else gpu
        json.dump({"schemaVersion": 1, "traceEvents": [event] * self.profiler.kernels}, open(path, "w"))
class emit_nvtx(base):
    def __init__(self, record_shapes): print("ranges", flush=True)
queued = []
cuda = N(_lazy_call=queued.append)
profiler = N(profile=profile, ProfilerActivity=N(CPU=0, CUDA=1))
autograd = N(profiler=N(profile=base, emit_nvtx=emit_nvtx))
def init():
    ctypes.CDLL(os.environ["CUDA_INJECTION64_PATH"]).InitializeInjection()
    for start in queued: start()
def launch():
    if base.active: base.active.kernels += 1
"""

LOOK_FIRST = "import importlib.util; importlib.util.find_spec('torch'); "  # as transformers does


@pytest.fixture
def run_python(fake_cupti, tmp_path, monkeypatch):
    """Record a line of Python that imports the stand-in for torch."""
    (tmp_path / "own" / "torch").mkdir(parents=True)
    (tmp_path / "own" / "torch" / "__init__.py").write_text(FAKE_TORCH)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "own"))

    def start(program, **options):
        return record(Order((sys.executable, "-c", program), tmp_path / "out.gptrace", **options))

    return start


@pytest.mark.parametrize("before", ["", LOOK_FIRST])
@pytest.mark.parametrize("busy", [True, False])
def test_torch_profiler_records_where_cupti_refuses(run_python, tmp_path, monkeypatch, busy, before):
    if busy:
        monkeypatch.setenv("FAKE_BUSY", "1")
    recording = run_python(before + "import torch; torch.init(); torch.launch()")
    assert recording.status == 0
    (trace,) = recording.traces
    if busy:
        assert len(read_gptrace(tmp_path / "out.gptrace").gpu.start) == 1
        assert "torch.profiler recorded instead" in recording.notes[-1]
        assert "another CUPTI client" in " ".join(recording.notes)
    else:
        assert trace.meta["source"]["format"] == "gpuprobe"


def test_a_profiler_without_the_gpu_says_so(run_python, monkeypatch):
    monkeypatch.setenv("FAKE_BUSY", "1")
    monkeypatch.setenv("FAKE_BLIND", "1")
    recording = run_python("import torch; torch.init(); torch.launch()")
    assert recording.status == 0
    assert "operators alone" in recording.notes[-1]


def test_options_that_the_profiler_was_not_told_are_named(run_python, monkeypatch):
    monkeypatch.setenv("FAKE_BUSY", "1")
    recording = run_python("import torch; torch.init(); torch.launch()", seconds=9.0, capture="profiler-api")
    assert recording.notes[-1] == "torch.profiler recorded all there was: --seconds, --capture did not apply"


OWN = "p = torch.profiler.profile(); p.__enter__(); torch.launch(); {0}; p.__exit__(None, None, None); "
TELL = "print('own', p.profiler.kernels, flush=True)"


@pytest.mark.parametrize(
    ("program", "own", "ours"),
    [
        (OWN.format("torch.init(); torch.launch()") + "torch.launch(); " + TELL, 2, [1]),
        ("torch.init(); torch.launch(); " + OWN.format("0") + "torch.launch(); torch.launch(); " + TELL, 1, [1, 2]),
        ("torch.init(); torch.launch(); " + 2 * OWN.format("0") + TELL, 1, [1]),
    ],
)
def test_the_programs_own_profiler_comes_first(run_python, monkeypatch, capfd, program, own, ours):
    monkeypatch.setenv("FAKE_BUSY", "1")
    recording = run_python("import torch; " + program)
    assert recording.status == 0
    assert f"own {own}" in capfd.readouterr().out
    assert [len(trace.gpu.start) for trace in recording.traces if len(trace.gpu.start)] == ours


def test_ranges_give_way_to_the_programs_own_profiler(run_python, capfd):
    program = "import torch; torch.init(); " + OWN.format("0") + TELL
    assert run_python(program, torch_ops=True).status == 0
    assert capfd.readouterr().out.split("\n")[:3] == ["ranges", "ranges", "own 1"]


def test_an_unwritable_profile_does_not_fail_the_program(run_python, monkeypatch):
    monkeypatch.setenv("FAKE_BUSY", "1")
    recording = run_python("import os, torch; torch.init(); os.environ['GPUPROBE_SPOOL'] = '/proc/nonexistent'")
    assert recording.status == 1
    assert "nothing was recorded" in recording.notes[-1]


def test_a_profile_of_nothing_is_told(run_python, monkeypatch, tmp_path):
    monkeypatch.setenv("FAKE_BUSY", "1")
    recording = run_python("import torch; torch.init()")
    assert recording.status == 0
    assert json.loads(json.dumps(recording.traces[0].meta))["run"]["command"]
