"""Times taken in several processes of each side, in numpy: what is renewed, what is kept, what a later one can do."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.kernel_eval.child import Child
from gpuprobe.kernel_eval.evaluate import Evaluation, Options, evaluate, evaluate_all, spawn
from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.kernel_eval.pool import _ready, fresh_pairs
from gpuprobe.kernel_eval.session import Limits, Session
from gpuprobe.kernel_eval.timing import Regime

NUMPY = Path(__file__).parent / "numpy_candidates"
LIMITS = Limits(load_s=60.0, call_s=20.0, memory_bytes=1 << 30)
OPTIONS = Options(
    device="cpu", backend="numpy", rounds=2, processes=3, requests=0, regimes=("cold",), metrics=False, limits=LIMITS
)


@pytest.fixture(autouse=True)
def without_contrasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gpuprobe.kernel_eval.evaluate.CONTRASTS", ())


def names(result: Evaluation) -> set[str]:
    return {finding.name for finding in result.findings}


def test_rounds_are_shared_out_to_fresh_processes() -> None:
    result = evaluate(NUMPY / "honest.py", NUMPY / "task.py", OPTIONS)
    assert result.verdict is Verdict.CORRECT, result.findings
    (regime,) = result.regimes
    assert len(regime.processes) == 3 and sum(regime.processes) == len(regime.rounds)


def test_each_process_imports_the_candidate_anew(tmp_path: Path) -> None:
    file = tmp_path / "counts.py"
    seen = tmp_path / "seen"
    head = f"import os\n\nwith open({str(seen)!r}, 'a') as sink:\n    sink.write(f'{{os.getpid()}}\\n')\n\n"
    file.write_text(head + (NUMPY / "honest.py").read_text())
    result = evaluate(file, NUMPY / "task.py", OPTIONS)
    assert result.verdict is Verdict.CORRECT, result.findings
    assert len(set(seen.read_text().split())) == 4


def test_what_only_a_later_process_does_is_seen(tmp_path: Path) -> None:
    file, seen = tmp_path / "later.py", tmp_path / "seen"
    body = (NUMPY / "honest.py").read_text()
    head = f"import os\n\nLATER = os.path.exists({str(seen)!r})\nopen({str(seen)!r}, 'w').close()\n\n"
    file.write_text(
        head + body.replace("def forward(self, x):", "def forward(self, x):\n        x = x[:] * (1 - LATER)")
    )
    assert "(1 - LATER)" in file.read_text()
    result = evaluate(file, NUMPY / "task.py", OPTIONS)
    assert "differs-when-timed" in names(result)
    file.write_text(head + "if LATER:\n    raise RuntimeError('only once')\n\n" + body)
    seen.unlink()
    assert (evaluate(file, NUMPY / "task.py", OPTIONS).verdict) is Verdict.FAILED


def test_batches_without_a_model_run_before_there_is_one(tmp_path: Path) -> None:
    workers = spawn(replace(OPTIONS, processes=1), tmp_path)
    with Session(tmp_path, *workers, LIMITS) as session, Child(["pace", "numpy", "cpu"], tmp_path / "p") as further:
        session.load_reference(NUMPY / "task.py")
        session.load_candidate(NUMPY / "honest.py")
        regime = Regime("cold", "host", 6, [0, 1] * 3)
        fresh = _ready(session, further, [regime])
        assert fresh.cost_s == fresh.empties_s["cold"] > 0
        assert fresh.clock.board.path in [board.path for board in session.boards]


def test_a_process_that_does_not_start_is_no_fault_of_the_candidate(tmp_path: Path) -> None:
    workers = spawn(replace(OPTIONS, processes=1), tmp_path)
    made: list[Child] = []

    def make(role: str, name: str) -> Child:
        made.append(Child([role, "numpy", "cpu"], tmp_path / name))
        if len(made) == 3:
            os.kill(made[0].pid, signal.SIGKILL)
        return made[-1]

    with Session(tmp_path, *workers, LIMITS) as session:
        session.load_reference(NUMPY / "task.py")
        session.load_candidate(NUMPY / "honest.py")
        with pytest.raises(GpuprobeError, match="start of further processes"):
            fresh_pairs(session, make, 2, [Regime("cold", "host", 6, [0] * 6)])
    assert [child._process.poll() is None for child in made] == [False] * 4


def test_all_elements_of_the_last_call_of_a_batch_are_looked_at(tmp_path: Path) -> None:
    """A candidate that is told when it is timed, and then computes all elements but one that no witness meets."""
    file = tmp_path / "leaves_one.py"
    body = (NUMPY / "honest.py").read_text()
    head = "import sys\n\n"
    tail = """

class ModelNew(ModelNew):
    def forward(self, x):
        y = super().forward(x)
        frame = sys._getframe()
        while frame is not None and "looks" not in frame.f_locals:
            frame = frame.f_back
        if frame is not None:
            looks = frame.f_locals["looks"]
            seen = set() if looks[0][0] is None else set(looks[0][0].tolist())
            y.reshape(-1)[next(at for at in range(y.size) if at not in seen)] = 0 if seen else y.reshape(-1)[0]
        return y
"""
    file.write_text(head + body + tail)
    result = evaluate(file, NUMPY / "task.py", replace(OPTIONS, processes=1))
    assert [(f.name, f.detail.partition(":")[0]) for f in result.findings if f.gravity == "cheat"] == [
        ("differs-when-timed", "the last call of a timed batch")
    ]


def test_the_next_candidate_gets_the_trusted_workers_back() -> None:
    options = replace(OPTIONS, processes=2)
    paths = [NUMPY / f"{name}.py" for name in ("honest", "zeros", "own_buffer")]
    found = [row.verdict for row in evaluate_all(paths, NUMPY / "task.py", options, lambda _: None)]
    assert found == [Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT]


@pytest.mark.parametrize("keep", [False, True])
def test_renewing_ends_the_processes_before_but_not_one_that_was_lent(tmp_path: Path, keep: bool) -> None:
    options = replace(OPTIONS, processes=1)
    workers = spawn(options, tmp_path)
    fresh = [Child([role, "numpy", "cpu"], tmp_path / f"{role}-9") for role in ("pace", "candidate")]
    with Session(tmp_path, *workers, LIMITS, keep) as session:
        session.load_reference(NUMPY / "task.py")
        session.load_candidate(NUMPY / "honest.py")
        boards = [board.path for board in session.boards]
        session.renew(session.enlist(fresh[0]), session.enlist(fresh[1]), NUMPY / "honest.py")
        assert (workers[1]._process.poll() is None, workers[2]._process.poll() is None) == (keep, False)
        assert set(boards) < {board.path for board in session.boards}
        session.warm_pace()
        session.judge("fill", slots=[0], kind="given", seed=1, out=0)
        assert session.candidate.ask("call", 20.0, slot=0, out=0)["problem"] == ""
    assert fresh[0]._process.poll() is not None and fresh[1]._process.poll() is not None
    assert (workers[0]._process.poll() is None) == keep
    for worker in workers:
        worker.kill()
