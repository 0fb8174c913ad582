"""``gpuprobe tune gemm`` with a bench that is no GPU: what it measures, prints, keeps and finds again."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gpuprobe import cli, resources
from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu import tuning_bench
from gpuprobe.gpu.triton_timer import Problem, Timed
from gpuprobe.ops.tiling import Tiling
from gpuprobe.tune import KernelPredictor
from gpuprobe.tune.found import Key, keep, recall

SIZES = ["-m", "4096", "-n", "4096", "-k", "4096"]


class FakeBench:
    """An H100 on which every configuration takes ``factor`` of what is predicted; ``slow`` takes thrice that."""

    product, uuid, driver, triton, memory_bytes = "NVIDIA H100 80GB HBM3", "GPU-1", "580.1", "3.6.0", 80e9
    asked: ClassVar[list[Tiling]] = []
    slow: ClassVar[set[Tiling]] = set()
    broken: ClassVar[set[Tiling]] = set()

    def __init__(self, index: int = 0) -> None:
        self.index = index

    def time(self, problem: Problem, tiling: Tiling) -> Timed:
        type(self).asked.append(tiling)
        if tiling in self.broken:
            return Timed(tiling, error="out of resources")
        predictor = KernelPredictor.load("h100-sxm", problem.form)
        time_s = float(predictor.times(problem.m, problem.n, problem.k, [tiling], problem.dtype).time_s[0])
        time_s *= 3.0 if tiling in self.slow else 1.1
        return Timed(tiling, time_s, (time_s, 1.01 * time_s))


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeBench]:
    class Bench(FakeBench):
        asked: ClassVar[list[Tiling]] = []
        slow: ClassVar[set[Tiling]] = set()
        broken: ClassVar[set[Tiling]] = set()

    monkeypatch.setattr(tuning_bench, "TuningBench", Bench)
    monkeypatch.setenv("GPUPROBE_STATE", str(tmp_path / "state"))
    return Bench


def tune(capsys: pytest.CaptureFixture[str], *more: str, sizes: Sequence[str] = SIZES) -> tuple[int, Any]:
    code = cli.main(["tune", "gemm", *sizes, "--json", *more])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else None


def tiling_of(document: dict[str, Any]) -> Tiling:
    return Tiling(*(document[name] for name in ("BM", "BN", "BK", "GM", "warps", "stages")))


def test_the_best_measured_is_returned_with_its_evidence(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = tune(capsys, "--enough", "0", "--budget", "6")
    assert code == 0
    measured = [tiling_of(one) for one in found["measured"]]
    assert measured == list(dict.fromkeys(bench.asked))  # asked again, in turn, when all six are known
    assert len(measured) == 6
    assert found["best"] == min(found["measured"], key=lambda one: one["measured_s"])
    for one in found["measured"]:
        assert one["predicted_s_low"] < one["predicted_s"] < one["predicted_s_high"]
        assert one["spread"] == pytest.approx(0.0 if one["rounds"] else 0.01)
        if one["rounds"]:
            assert one["measured_s_low"] <= one["measured_s"] <= one["measured_s_high"]
    assert found["best"]["rounds"] == 9
    assert (found["gpu"], found["stopped"], found["in_domain"]) == ("h100-sxm", "budget", True)


def test_it_stops_when_nothing_more_is_promised(bench: type[FakeBench], capsys: pytest.CaptureFixture[str]) -> None:
    _, found = tune(capsys, "--budget", "60")
    assert len(found["measured"]) == len(set(bench.asked)) < 60
    assert found["stopped"] == "no candidate promises 0.30%"


def test_a_prediction_that_proves_wrong_is_learned_from(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str]
) -> None:
    _, ranking = tune(capsys, "--predict-only", "--gpu", "h100-sxm", "--budget", "1")
    first = tiling_of(ranking["ranking"][0])
    bench.slow = {first}
    _, found = tune(capsys)
    assert tiling_of(found["measured"][0]) == first
    assert tiling_of(found["best"]) != first


def test_a_result_is_found_again_until_it_must_be_fresh(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, first = tune(capsys)
    count = len(bench.asked)
    _, second = tune(capsys)
    assert (first["cached"], second["cached"], len(bench.asked)) == (False, True, count)
    assert second["best"] == first["best"]
    assert "GPU-1" not in Path(second["kept"]).read_text()
    _, third = tune(capsys, "--fresh")
    assert (third["cached"], len(bench.asked)) == (False, 2 * count)
    for name, value in (("driver", "590.0"), ("uuid", "GPU-2"), ("triton", "3.7.0")):
        monkeypatch.setattr(bench, name, value)
        assert tune(capsys)[1]["cached"] is False
    assert tune(capsys, "--dtype", "fp16")[1]["cached"] is False


def test_a_torn_result_is_measured_again(capsys: pytest.CaptureFixture[str]) -> None:
    _, first = tune(capsys)
    Path(first["kept"]).write_text(Path(first["kept"]).read_text()[:-30])
    _, second = tune(capsys)
    assert second["cached"] is False


def test_configurations_can_be_named(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "configs.csv"
    path.write_text("BM,BN,BK,GM,warps,stages\n128,128,64,8,8,3\n64,64,64,8,4,3\n256,256,128,8,8,5\n")
    _, found = tune(capsys, "--configs", str(path), "--enough", "0")
    assert set(bench.asked) == {Tiling(128, 128, 64, 8, 8, 3), Tiling(64, 64, 64, 8, 4, 3)}
    assert (found["configurations"], found["stopped"]) == (2, "all candidates measured")


def test_configurations_that_are_not_there_or_none_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert cli.main(["tune", "gemm", *SIZES, "--configs", str(tmp_path / "none.csv")]) == 2
    assert "after --configs" in capsys.readouterr().err
    path = tmp_path / "huge.csv"
    path.write_text("BM,BN,BK,GM,warps,stages\n256,256,128,8,8,5\n")
    assert cli.main(["tune", "gemm", *SIZES, "--configs", str(path)]) == 2
    assert "none of 1 configurations can be launched" in capsys.readouterr().err


def test_where_nothing_runs_the_reasons_are_said(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "configs.csv"
    path.write_text("BM,BN,BK,GM,warps,stages\n128,128,64,8,8,3\n")
    bench.broken = {Tiling(128, 128, 64, 8, 8, 3)}
    assert cli.main(["tune", "gemm", *SIZES, "--configs", str(path)]) == 1
    assert "out of resources" in capsys.readouterr().err


def test_the_table_names_the_best_and_where_it_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["tune", "gemm", *SIZES]) == 0
    out = capsys.readouterr().out
    assert "4096×4096×4096 bf16 on NVIDIA H100" in out
    assert "best" in out and "kept in" in out


def test_ranking_needs_no_gpu(bench: type[FakeBench], capsys: pytest.CaptureFixture[str]) -> None:
    code, found = tune(capsys, "--predict-only", "--gpu", "h100-sxm", "--dtype", "fp8")
    predicted = [one["predicted_s"] for one in found["ranking"]]
    assert (code, bench.asked, len(predicted)) == (0, [], 12)
    assert predicted == sorted(predicted)
    assert cli.main(["tune", "gemm", *SIZES, "--predict-only"]) == 2
    assert "--gpu NAME" in capsys.readouterr().err


def test_a_gpu_that_no_catalogue_knows_needs_a_name(
    bench: type[FakeBench], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "product", "NVIDIA X1")
    assert cli.main(["tune", "gemm", *SIZES]) == 2
    assert "--gpu NAME" in capsys.readouterr().err
    assert tune(capsys, "--gpu", "h100-sxm")[0] == 0


def test_without_torch_or_gpu_it_exits_3_with_the_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    module = importlib.reload(tuning_bench)
    try:
        assert cli.main(["tune", "gemm", *SIZES]) == 3
    finally:
        importlib.reload(module)
    assert "--predict-only" in capsys.readouterr().err


RECORDED = ["-m", "36", "-n", "144", "-k", "7376", "--kernel", "triton-persistent", "--gpu", "h100-sxm"]


def test_a_recording_stands_for_the_gpu(bench: type[FakeBench], capsys: pytest.CaptureFixture[str]) -> None:
    code, found = tune(capsys, "--recorded", sizes=RECORDED)
    assert (code, bench.asked, found["configurations"], found["kept"]) == (0, [], 150, None)
    assert found["best"] == min(found["measured"], key=lambda one: one["measured_s"])
    assert found["recorded_best_s"] <= found["best"]["measured_s"] < 1.05 * found["recorded_best_s"]
    assert cli.main(["tune", "gemm", *RECORDED, f"--recorded={found['recorded']}"]) == 0
    out = capsys.readouterr().out
    assert "on NVIDIA H100 80GB HBM3 (recorded)" in out
    assert "slower than the best of all that were recorded" in out


def test_a_recording_is_searched_in_the_configurations_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "configs.csv"
    path.write_text("BM,BN,BK,GM,warps,stages\n16,32,128,4,4,4\n256,256,16,8,8,3\n")
    _, found = tune(capsys, "--recorded", "--configs", str(path), sizes=RECORDED)
    assert (found["configurations"], len(found["measured"])) == (1, 1)
    assert found["recorded_best_s"] < found["best"]["measured_s"]


def test_recordings_that_cannot_be_used_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recording = resources.folder("models") / "data" / "h100-sxm" / "held-out-tiles.jsonl.gz"
    shipped, session = str(recording), json.loads(gzip.decompress(recording.read_bytes()).splitlines()[0])
    files = {"words": "hello", "list": "[]", "none": "", "torn": json.dumps(session | {"kind": "row"})}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        assert cli.main(["tune", "gemm", *SIZES, "--recorded", str(tmp_path / name)]) == 2
        assert "gpuprobe sweep kernel" in capsys.readouterr().err
    for more, said in (
        (["--recorded", shipped], "it holds -m 16 -n 2304"),
        (["--recorded"], "--gpu NAME"),
        (["--recorded", "--gpu", "b200"], "no recording of b200"),
        (["--recorded", shipped, "--fresh"], "leave"),
    ):
        assert cli.main(["tune", "gemm", *SIZES, *more]) == 2
        assert said in capsys.readouterr().err


def test_a_result_of_another_question_is_none(tmp_path: Path) -> None:
    key, other = (Key("GPU-1", "580", "3.6", {"m": m}) for m in (1, 2))
    path = keep(tmp_path, key, {"best": 1})
    assert recall(tmp_path, key) == {"best": 1}
    assert recall(tmp_path, other) is None
    path.rename(tmp_path / other.name)
    assert recall(tmp_path, other) is None
    with pytest.raises(GpuprobeError, match="cannot write"):
        keep(tmp_path / other.name / "below", key, {})
