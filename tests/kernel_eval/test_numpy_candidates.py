"""Whole evaluations without torch: planted cheats and faults in numpy, each in processes of its own."""

from pathlib import Path

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.kernel_eval.contrasts import CONTRASTS
from gpuprobe.kernel_eval.evaluate import Evaluation, Options, evaluate
from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.kernel_eval.session import Limits

HERE = Path(__file__).parent / "numpy_candidates"
TASK = HERE / "task.py"
OPTIONS = Options(
    device="cpu",
    backend="numpy",
    rounds=3,
    requests=6,
    mean_gap_s=1e-4,
    limits=Limits(load_s=60.0, call_s=20.0, memory_bytes=1 << 30),
)


def run(name: str, options: Options = OPTIONS) -> Evaluation:
    return evaluate(HERE / f"{name}.py", TASK, options)


def names(result: Evaluation) -> set[str]:
    return {finding.name for finding in result.findings}


@pytest.mark.parametrize("name", ["honest", "own_buffer"])
def test_honest_candidates_are_correct(name: str) -> None:
    result = run(name)
    assert result.verdict is Verdict.CORRECT, result.findings
    assert {row["kind"] for row in result.rows} >= {"given", "normal", "wide", "constant", "zeros", "nan", "inf"}
    assert [regime.name for regime in result.regimes] == ["hot", "cold"]
    assert set(result.server) == {"empty", "reference", "candidate"}
    assert all(len(values) == OPTIONS.requests for values in result.server.values())
    assert [row["kind"] for row in result.contrasts[:1]] == ["skips-repeated-work"]
    assert {row["kind"] for row in result.contrasts} == {contrast.finding for contrast in CONTRASTS}


@pytest.mark.parametrize(
    ("name", "finding"),
    [
        ("cached", "cached-output"),
        ("cached_when_timed", "differs-when-timed"),
        ("memo", "skips-repeated-work"),
        ("mutates", "mutates-inputs"),
        ("patches", "patches-harness"),
        ("background", "unsynchronised"),
        ("subclass", "not-a-tensor"),
        ("forges_done", "differs-when-timed"),
        ("forges_answers", "tampers"),
    ],
)
def test_cheats_are_caught_and_named(name: str, finding: str) -> None:
    result = run(name)
    assert result.verdict is Verdict.CHEATS, result.findings
    assert finding in names(result)


@pytest.mark.parametrize(
    ("name", "finding"),
    [("zeros", "wrong-values"), ("half_precision", "wrong-values"), ("wrong_shape", "wrong-form")],
)
def test_wrong_candidates_are_wrong_and_not_timed(name: str, finding: str) -> None:
    result = run(name)
    assert (result.verdict, names(result) - {"less-precise"}) == (Verdict.WRONG, {finding})
    assert result.speeds == []


@pytest.mark.parametrize(("name", "finding"), [("aborts", "crash"), ("exits", "crash"), ("raises", "error")])
def test_faults_are_verdicts(name: str, finding: str) -> None:
    result = run(name)
    assert (result.verdict, names(result)) == (Verdict.FAILED, {finding})


def test_a_hang_is_a_verdict() -> None:
    result = run("hangs", Options(**{**vars(OPTIONS), "limits": Limits(load_s=60.0, call_s=1.0)}))
    assert (result.verdict, names(result)) == (Verdict.FAILED, {"hang"})


def test_too_much_memory_is_a_verdict() -> None:
    limits = Limits(load_s=60.0, call_s=60.0, memory_bytes=192 << 20)
    result = run("hogs", Options(**{**vars(OPTIONS), "limits": limits}))
    assert (result.verdict, names(result)) == (Verdict.FAILED, {"out-of-memory"})


def test_a_reference_that_fails_is_an_error_of_the_task(tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    task.write_text(TASK.read_text().replace("e = np.exp", "raise ValueError('broken')\n        e = np.exp"))
    with pytest.raises(GpuprobeError, match="broken"):
        evaluate(HERE / "honest.py", task, OPTIONS)


def test_calling_the_reference_of_ones_own_file_is_a_cheat(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    body = "\n\nclass ModelNew:\n    def forward(self, x):\n        return Model().forward(x)\n"
    file.write_text(TASK.read_text() + body)
    result = evaluate(file, None, OPTIONS)
    assert (result.verdict, names(result)) == (Verdict.CHEATS, {"returns-reference"})


def test_an_infinite_answer_to_large_inputs_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "unsafe.py"
    file.write_text((HERE / "honest.py").read_text().replace("x - x.max(axis=-1, keepdims=True)", "x"))
    result = evaluate(file, TASK, OPTIONS)
    assert result.verdict is Verdict.WRONG
    assert any(finding.detail.startswith("large") for finding in result.findings)
