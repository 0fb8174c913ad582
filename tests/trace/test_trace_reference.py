"""Real traces against their exact numbers, where the reference folder lies beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gpuprobe.cli.trace import command
from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.analyze import analyze
from gpuprobe.trace.chrome import write_chrome
from gpuprobe.trace.exact import exact
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.read import read_trace
from gpuprobe.trace.store import write_trace

FOLDER = Path(__file__).parents[2].parent / "shared" / "reference" / "traces"
TRUTHS = sorted(path for path in (FOLDER / "expected").glob("*.truth.json") if not path.name.startswith("big_"))
pytestmark = pytest.mark.skipif(not TRUTHS, reason="the reference traces are not beside the checkout")


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda path: path.name.split(".")[0])
def test_zero_nanoseconds_of_difference(truth: Path, tmp_path: Path) -> None:
    expected = json.loads(truth.read_text())
    path = FOLDER / expected["trace"]["file"]
    top = max(1, len(expected["names"]["top_by_sum"]))
    result = CliRunner().invoke(command, ["analyze", str(path), "--json", "--top", str(top)])
    assert json.loads(result.stdout)["exact"] == expected
    trace = read_trace(path)
    for suffix, write in ((".gptrace", write_trace), (".json", write_chrome)):
        write(trace, tmp_path / f"again{suffix}")
        again = read_trace(tmp_path / f"again{suffix}")
        found = exact(again, join_launches(again), top)
        assert {**found, "trace": 0} == {**expected, "trace": 0}
        assert suffix != ".gptrace" or found["trace"] == expected["trace"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json.gz")), ids=lambda path: path.name.split(".")[0])
def test_sums_hold_on_real_traces(path: Path) -> None:
    try:
        document = analyze(read_trace(path))
    except GpuprobeError as error:
        assert "no GPU events" in error.message
        return
    for idle in document["idle"].values():
        assert sum(idle["causes_ns"].values()) == idle["idle_ns"]
    assert sum(document["critical_path"]["bound_ns"].values()) == document["critical_path"]["window_ns"]


def test_a_real_nsys_export() -> None:
    document = analyze(read_trace(FOLDER / "nsys_nvtx_rtx6000.sqlite"))
    assert document["exact"]["gpu"] == {"events": 4, "kernels": 3, "span_ns": 30337301, "dur_sum_ns": 225533}
    assert document["exact"]["launch"]["by_api"] == {"cudaLaunchKernel": 3, "cudaMemsetAsync": 1}
    assert document["launches"]["by_api"][0]["delay_negative"] == 2
