"""The operator and energy sections of a trace's page; names of files are escaped there too."""

from pathlib import Path

from synthetic_traces import call, host, kernel, trace_of
from test_trace_energy import PHASES, Run
from test_trace_roofline import H100, mm

from gpuprobe.cli import main
from gpuprobe.report.page import render
from gpuprobe.report.sources import Source
from gpuprobe.trace.store import write_trace

HOSTILE = '<script>alert("x")</script>'


def page_of(trace):
    return render([Source(Path("trace.json"), "0" * 64, trace)], "gpuprobe trace report")


def test_operators_stand_under_the_roofline_and_their_names_are_text(tmp_path):
    events = [host(HOSTILE, 0, 60, "user_annotation"), mm(0, 20), call("cudaLaunchKernel", 5, 3, 1)]
    events += [kernel(f"nvjet_tst_{HOSTILE}", 30, 200, 1), host(HOSTILE, 30, 9), call("cudaLaunchKernel", 31, 3, 2)]
    page = page_of(trace_of(tmp_path, [*events, kernel("k", 300, 5, 2)], deviceProperties=[H100]))
    assert "Operators under the roofline" in page
    assert "GPU time by range and operator" in page
    assert "gemm predictor" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page


def test_energy_by_class_and_phase_is_on_the_page():
    page = page_of(Run(PHASES).trace(workload={"phase": "decode", "tokens_per_step": 4}))
    assert "the classes sum to what the sensor measured" in page
    assert "per token" in page


def test_a_trace_without_either_says_why(tmp_path):
    page = page_of(trace_of(tmp_path, [kernel("k", 0, 5, 1)]))
    assert "has shapes" in page
    assert "no power samples" in page


def test_trace_report_writes_the_page(tmp_path, capsys):
    path = tmp_path / "t.gptrace"
    write_trace(Run(PHASES).trace(), path)
    assert main(["trace", "report", str(path), "-o", str(tmp_path / "t.html")]) == 0
    assert (tmp_path / "t.html").read_text().startswith("<!doctype html>")
    assert main(["trace", "report", str(path), "-o", str(tmp_path / "t.pdf")]) == 2
