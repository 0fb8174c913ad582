"""``gpuprobe trace`` from the outside, and the Chrome writer it exports with."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from synthetic_traces import Event, call, event_lists, host, kernel, launch_pairs, trace_of, write_json

from gpuprobe.cli.trace import command
from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.chrome import write_chrome
from gpuprobe.trace.exact import exact
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.read import read_trace

RUN = [*launch_pairs(("gemm\x1b[31m<b>", 0, 2, 5, 10), ("relu", 1, 2, 17, 3)), host("aten::mm", 0, 3)]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def document(*arguments: str | Path) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_json(tmp_path / "run.json.gz", RUN)


def test_json_has_every_section(path: Path) -> None:
    keys = {"schema", "file", "exact", "breakdown", "kernels", "launches", "idle", "skip", "queue", "fusion"}
    found = document("analyze", path)
    assert keys | {"critical_path", "copies", "verdict", "warnings"} <= found.keys()
    exact_keys = {
        "trace",
        "steps",
        "gpu",
        "devices",
        "names",
        "launch",
        "tklqt",
        "launch_delay",
        "akd_ns",
        "il_ns",
        "streams",
    }
    assert exact_keys <= found["exact"].keys()


def test_tables_show_what_the_document_holds(tmp_path: Path) -> None:
    copy = kernel("Memcpy HtoD", 40, 4, 9, cat="gpu_memcpy", bytes=8000)
    steps = [host(f"ProfilerStep#{number}", 20 * number, 19, "user_annotation") for number in range(3)]
    phase = host("decode", 0, 50, "user_annotation")
    shown = run("analyze", write_json(tmp_path / "run.json", [*RUN, copy, *steps, phase]), "--top", "2").output
    lines = shown.splitlines()
    assert "steps (2 of 3; all with --json)" in lines
    assert lines[lines.index("phases") + 2].split()[:2] == ["decode", "50000"]
    assert lines[lines.index("copies and sets") + 2].split()[-5:] == ["1", "8000", "4000", "0", "2000000000"]
    stream = lines[lines.index("streams and their queues") + 2].split()
    assert (stream[0], stream[1], stream[3]) == ("0/7", "13000", "4000")


def test_tables_hold_no_control_characters(path: Path) -> None:
    result = run("analyze", path)
    assert result.exit_code == 0
    assert "gemm?[31m<b>" in result.stdout and "\x1b" not in result.stdout


def test_no_gpu_events_prints_the_exact_block_and_fails(tmp_path: Path) -> None:
    path = write_json(tmp_path / "cpu.json", [host("aten::mm", 0, 5)])
    result = run("analyze", path, "--json")
    assert json.loads(result.stdout)["exact"]["gpu"] == {"events": 0, "kernels": 0}
    assert isinstance(result.exception, GpuprobeError)
    assert run("analyze", path).stdout == ""


def test_a_trace_without_any_event_is_neither_compared_nor_written(tmp_path: Path) -> None:
    path, output = write_json(tmp_path / "none.json", []), tmp_path / "x.json"
    for arguments in (("diff", path, path), ("export", path, "-o", output)):
        assert isinstance(run(*arguments).exception, GpuprobeError)
    assert not output.exists()


def test_several_files_are_ranks_or_a_sweep(tmp_path: Path) -> None:
    events = [*RUN, kernel("ncclDevKernel_AllReduce", 100, 5)]
    files = [write_json(tmp_path / f"{rank}.json", events, distributedInfo={"rank": rank}) for rank in (0, 1)]
    assert [row["rank"] for row in document("analyze", *files)["ranks"]["ranks"]] == ["0", "1"]
    assert document("analyze", *files, "--batch", "1,8")["sweep"]["points"][1]["batch"] == 8
    assert run("analyze", *files).exit_code == 0
    for wrong in ("1", "1,x"):
        assert isinstance(run("analyze", *files, "--batch", wrong).exception, GpuprobeError)


def test_diff(path: Path) -> None:
    assert {row["verdict"] for row in document("diff", path, path)["kernels"]} == {"untested"}
    assert run("diff", path, path).exit_code == 0


@pytest.mark.parametrize("suffix", [".gptrace", ".json", ".json.gz"])
def test_export_keeps_every_number(path: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    assert run("export", path, "-o", out).exit_code == 0
    a, b = document("analyze", path), document("analyze", out)
    for found in (a, b):
        found["exact"].pop("trace")
        for key in ("file", "format", "vendor", "devices"):
            found.pop(key)
    assert a == b


def test_export_of_kernels_and_of_nonsense(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "kernels.csv"
    assert run("export", path, "-o", out).exit_code == 0
    assert out.read_text().splitlines()[0].startswith("name,work,count,sum_ns")
    assert isinstance(run("export", path, "-o", tmp_path / "x.txt").exception, GpuprobeError)
    assert isinstance(run("export", path, "-o", tmp_path / "none" / "x.json").exception, GpuprobeError)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(event_lists())
def test_chrome_export_reads_back_exactly(tmp_path: Path, events: list[Event]) -> None:
    trace = trace_of(tmp_path, events)
    out = tmp_path / "out.json"
    write_chrome(trace, out)
    again = read_trace(out)
    a, b = (exact(each, join_launches(each)) for each in (trace, again))
    a.pop("trace"), b.pop("trace")
    assert a == b


def test_chrome_export_is_what_viewers_open(tmp_path: Path) -> None:
    events = [*RUN, call("cudaGraphLaunch", 40, 1, 9), kernel("a", 50, 1, 9), kernel("b", 52, 1, 9)]
    events.append({"ph": "M", "name": "process_name", "pid": 100, "tid": 0, "args": {"name": "python"}})
    out = tmp_path / "out.json.gz"
    write_chrome(trace_of(tmp_path, events, baseTimeNanoseconds=5), out)
    found = json.loads(gzip.decompress(out.read_bytes()))
    arrows = [event for event in found["traceEvents"] if event["ph"] in "sf"]
    assert [event["ph"] for event in arrows if event["id"] == 9] == ["s", "f", "f"]
    assert {"name": "process_name", "ph": "M", "pid": 100, "tid": 100, "ts": 0, "args": {"name": "python"}} in found[
        "traceEvents"
    ]
    assert found["baseTimeNanoseconds"] == 5
    assert list(tmp_path.glob(".out*")) == []
