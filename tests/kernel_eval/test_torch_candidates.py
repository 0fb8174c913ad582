"""Planted and honest candidates in torch; on the CPU where torch is installed, all of them where there is a GPU."""

import importlib.util
from pathlib import Path

import pytest

from gpuprobe.kernel_eval.evaluate import Evaluation, Options, evaluate
from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.kernel_eval.session import Limits

HERE = Path(__file__).parent / "candidates"
HAS_TORCH = importlib.util.find_spec("torch") is not None
NEEDS_STREAMS = {"other_stream", "other_stream_when_timed", "stale_graph"}
PATCHED = {"sparse_by_mode": "modes", "sparse_by_override": "kernel of aten::take.out", "rebinds_harness": "_TAKE"}
GAINS_NOTHING = 1.3
"""Speed-up that a cheat may be credited with where it is not found: it is none."""
CHEATS = sorted((HERE / "cheats").glob("*.py"))
HONEST = sorted((HERE / "honest").glob("*.py"))
FUTILE = sorted((HERE / "futile").glob("*.py"))
FAULTS = sorted((HERE / "faults").glob("*.py"))


def has_gpu() -> bool:
    if not HAS_TORCH:
        return False
    import torch

    return bool(torch.cuda.is_available())


pytestmark = pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")


def run(path: Path, device: str) -> Evaluation:
    limits = Limits(load_s=120.0, call_s=15.0, memory_bytes=8 << 30)
    own = "class Model(" in path.read_text()
    options = Options(device=device, rounds=3, requests=6, metrics=False, limits=limits)
    return evaluate(path, None if own else HERE / "task.py", options)


def runs_on_cpu(path: Path) -> bool:
    return path.stem not in NEEDS_STREAMS and not path.stem.startswith(("x_", "c_"))


def test_there_are_enough_of_them() -> None:
    assert len(HONEST) >= 50 and len(CHEATS) >= 38 and len(FAULTS) >= 10


@pytest.mark.parametrize("path", [p for p in CHEATS if runs_on_cpu(p)], ids=lambda p: p.stem)
def test_no_cheat_passes_on_the_cpu(path: Path) -> None:
    assert run(path, "cpu").verdict is not Verdict.CORRECT


@pytest.mark.parametrize("name", PATCHED)
def test_what_stands_in_the_harness_is_named(name: str) -> None:
    (finding,) = [f for f in run(HERE / "cheats" / f"{name}.py", "cpu").findings if f.name == "patches-harness"]
    assert PATCHED[name] in finding.detail


@pytest.mark.parametrize("path", FUTILE, ids=lambda p: p.stem)
def test_what_slows_the_others_gains_nothing(path: Path) -> None:
    result = run(path, "cpu")
    assert result.verdict is Verdict.CHEATS or all(row.speedup.ratio < GAINS_NOTHING for row in result.speeds)


@pytest.mark.parametrize("path", [p for p in HONEST if runs_on_cpu(p)], ids=lambda p: p.stem)
def test_no_honest_candidate_is_accused_on_the_cpu(path: Path) -> None:
    result = run(path, "cpu")
    assert result.verdict is Verdict.CORRECT, result.findings


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="no CUDA GPU")
@pytest.mark.parametrize("path", CHEATS, ids=lambda p: p.stem)
def test_no_cheat_passes(path: Path) -> None:
    assert run(path, "cuda:0").verdict is not Verdict.CORRECT


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="no CUDA GPU")
@pytest.mark.parametrize("path", HONEST, ids=lambda p: p.stem)
def test_no_honest_candidate_is_accused(path: Path) -> None:
    result = run(path, "cuda:0")
    assert result.verdict is Verdict.CORRECT, result.findings


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="no CUDA GPU")
@pytest.mark.parametrize("path", FAULTS, ids=lambda p: p.stem)
def test_faults_are_verdicts(path: Path) -> None:
    assert run(path, "cuda:0").verdict in (Verdict.FAILED, Verdict.WRONG)
