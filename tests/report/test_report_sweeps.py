"""Batch sweeps: the turning point is marked and said; damage is an error."""

import json
from pathlib import Path

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.report.page import render
from gpuprobe.report.sources import read
from gpuprobe.report.sweeps import Sweeps, SweepsView, read_sweeps

RECORDED = Path(__file__).resolve().parents[2] / "reports/h100-sxm/llama-1b/sweep.json"


def test_a_recorded_sweep_shows_where_the_gpu_begins_to_limit():
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    page = render([read(RECORDED)], "gpuprobe report sweep.json")
    prefill = document["sweeps"][0]
    assert f"turns at batch {prefill['turns_at']}" in page
    assert "No turn from the CPU to the GPU" in page, "decoding stays bound by the CPU in these batches"
    assert "flat level: the CPU limits" in page and " us " not in page
    for row in prefill["points"]:
        assert f"{row['tokens_per_s']:.0f}" in page


def test_what_a_sweep_lacks_is_not_drawn():
    document = json.loads(RECORDED.read_text(encoding="utf-8"))
    for sweep in document["sweeps"]:
        for row in sweep["points"]:
            row["energy_per_token_j"] = None
    (_, _, pictures, table), *_ = SweepsView(Sweeps("x", document), 1).parts()
    assert [picture.caption for picture in pictures] == [
        "From launch to start, a kernel (TKLQT)",
        "Throughput",
        "GPU busy",
    ]
    assert table.rows[0].cells[-1].text == "–"


@pytest.mark.parametrize(
    "text", ['{"sweeps": []}', '{"sweeps": 1}', '{"sweeps": [{"points": []}]}', '{"sweeps": [{}]}']
)
def test_what_is_no_sweep_is_an_error(tmp_path, text):
    path = tmp_path / "sweep.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GpuprobeError):
        read_sweeps(path)


def test_a_damaged_sweep_is_an_error():
    with pytest.raises(GpuprobeError, match="damaged"):
        SweepsView(Sweeps("x", {"sweeps": [{"points": [{"batch": 1}]}]}), 1).parts()
