"""The hierarchical roofline: its numbers are the profile's, GEMMs lie where arithmetic puts them, pictures whole."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe import profile_files
from gpuprobe.cli.roofline import command
from gpuprobe.ops.gemm import Gemm
from gpuprobe.report.figures.hierarchy import HEIGHT, WIDTH, hierarchy, standalone
from gpuprobe.roofline import CLUSTER_TILE, TILE, Roofline, l2_intensity, place, ridges, roofline_of, to_document

GPUS = ("h100-sxm", "a100-sxm-80gb", "l40s", "rtx-4090", "b200")


@pytest.fixture(scope="module")
def h100() -> Roofline:
    return roofline_of(profile_files.load("h100-sxm"))


def test_ceilings_and_slopes_are_the_profile_s_best(h100: Roofline) -> None:
    profile = profile_files.load("h100-sxm")
    assert h100.ceiling("f16").rate == profile.peak("f16")  # type: ignore[union-attr]
    assert h100.slope("DRAM").rate == profile.bandwidth("DRAM")  # type: ignore[union-attr]
    assert [one.rate.value for one in h100.ceilings] == sorted((one.rate.value for one in h100.ceilings), reverse=True)
    assert {one.level for one in h100.slopes} >= {"L2", "DRAM"}
    for ceiling, slope, at in ridges(h100):
        assert at * slope.rate.value == pytest.approx(ceiling.rate.value)


def test_a_small_batch_is_bound_by_dram_and_a_large_gemm_by_its_type(h100: Roofline) -> None:
    thin = place(h100, Gemm(8, 8192, 8192), (50e-6, 48e-6, 52e-6))
    assert thin.bound == "DRAM"
    assert thin.attainable == pytest.approx(thin.dram_intensity * h100.slope("DRAM").rate.value)  # type: ignore[union-attr]
    thick = place(h100, Gemm(16384, 16384, 16384, "fp16"), (12e-3, 11e-3, 13e-3))
    assert thick.bound in ("f16", "L2")
    assert thick.low < thick.flop_per_s < thick.high
    assert thick.flop_per_s == pytest.approx(2 * 16384**3 / 12e-3)


@given(
    st.integers(1, 1 << 16), st.integers(1, 1 << 16), st.integers(1, 1 << 16), st.sampled_from(["bf16", "fp8", "int8"])
)
def test_l2_moves_at_least_what_dram_must(m: int, n: int, k: int, dtype: str) -> None:
    gemm = Gemm(m, n, k, dtype)
    assert 0 < l2_intensity(gemm, TILE) <= l2_intensity(gemm, CLUSTER_TILE) * (1 + 1e-9)
    assert l2_intensity(gemm, CLUSTER_TILE) <= gemm.intensity * (1 + 1e-9)


@pytest.mark.parametrize("gpu", GPUS)
def test_every_gpu_has_a_whole_picture(gpu: str) -> None:
    found = roofline_of(profile_files.load(gpu))
    gemm = Gemm(4096, 4096, 4096, "bf16")
    placed = [place(found, gemm, (4e-4, 3e-4, 5e-4))] if found.ceiling("bf16") else []
    text = standalone(hierarchy(found, placed))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = [mark for mark in root.iter() if mark.tag.endswith("}text")]
    for mark in words:
        assert -0.5 <= float(mark.get("x", "-1")) <= WIDTH and 0 <= float(mark.get("y", "-1")) <= HEIGHT
    shown = " ".join(mark.text or "" for mark in words)
    assert found.product in shown and all(slope.level in shown for slope in found.slopes)
    assert all(ceiling.kind in shown for ceiling in found.ceilings)
    assert "nan" not in text


def test_labels_of_ceilings_do_not_meet(h100: Roofline) -> None:
    root = ElementTree.fromstring(standalone(hierarchy(h100)))
    labels = [mark for mark in root.iter() if mark.tag.endswith("}text") and (mark.text or "").endswith("FLOP/s")]
    heights = sorted(float(mark.get("y", "0")) for mark in labels)
    assert len(heights) >= 5
    assert min(after - before for before, after in itertools.pairwise(heights)) >= 12.9


def test_the_command_draws_writes_and_prints(tmp_path: Path) -> None:
    for suffix in (".svg", ".html", ".json"):
        result = CliRunner().invoke(
            command, ["--gpu", "h100-sxm", "--gemm", "4096,4096,4096,bf16", "--gemm", "16,8192,8192", "-o",
                      str(tmp_path / f"r{suffix}")]
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    assert "4096×4096×4096 bf16" in result.stdout and "ridge over DRAM" in result.stdout
    assert "<svg" in (tmp_path / "r.html").read_text() and (tmp_path / "r.svg").read_text().startswith("<svg xmlns")
    document = json.loads((tmp_path / "r.json").read_text())
    assert [one["bound"] for one in document["gemms"]][1] == "DRAM"
    assert 0 < document["gemms"][0]["share"] < 1.15


def test_json_on_stdout_is_the_document(h100: Roofline) -> None:
    result = CliRunner().invoke(command, ["--gpu", "h100-sxm", "--json"])
    assert json.loads(result.stdout) == json.loads(json.dumps(to_document(h100, [])))


@pytest.mark.parametrize("text", ["4096", "1,2,x", "1,2,3,bf16,tn", "0,1,1", "1,1,1,fp3"])
def test_what_is_no_gemm_is_refused(text: str) -> None:
    result = CliRunner().invoke(command, ["--gemm", text])
    assert result.exit_code != 0 and type(result.exception).__name__ == "GpuprobeError"


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["-o", str(tmp_path / "r.png")])
    assert type(result.exception).__name__ == "GpuprobeError" and ".svg" in result.exception.hint  # type: ignore[union-attr]
