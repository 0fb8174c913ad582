"""A slow or shared machine accuses nobody: devices that run late, processes that stand still, clocks that jump."""

import importlib.util
import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpuprobe.kernel_eval import child as child_module
from gpuprobe.kernel_eval import evaluate as evaluate_module
from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.child import Child, Fault, Patience
from gpuprobe.kernel_eval.contrasts import CONTRASTS, USUAL, Comparisons, How
from gpuprobe.kernel_eval.correctness import Correctness
from gpuprobe.kernel_eval.evaluate import Evaluation, Options, evaluate, evaluate_all, spawn
from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.kernel_eval.latch import Latch
from gpuprobe.kernel_eval.session import Limits
from gpuprobe.kernel_eval.stopwatch import HostSynchronisesError, Timed
from gpuprobe.kernel_eval.worker import _serve
from tests.kernel_eval.late_device import LAG_S

HERE = Path(__file__).parent
NUMPY = HERE / "numpy_candidates"
TORCH = HERE / "candidates"
HAS_TORCH = importlib.util.find_spec("torch") is not None
LIMITS = Limits(load_s=120.0, call_s=60.0)
LATE = "tests.kernel_eval.late_device"


def late(path: Path, task: Path, monkeypatch: pytest.MonkeyPatch, lag_s: float, **options: Any) -> Evaluation:
    monkeypatch.setenv(LAG_S, str(lag_s))
    asked = {"device": "cpu", "rounds": 0, "requests": 0, "metrics": False, **options}
    return evaluate(path, task, Options(backend=LATE, limits=LIMITS, **asked))


@pytest.mark.parametrize("name", ["honest", "own_buffer"])
def test_no_honest_candidate_is_accused_where_the_device_runs_late(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = late(NUMPY / f"{name}.py", NUMPY / "task.py", monkeypatch, 0.05)
    assert result.verdict is Verdict.CORRECT, result.evidence
    assert result.findings == []


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize("name", ["t_argmin", "t_softmax"])
def test_nor_one_in_torch_with_gradients(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = TORCH / "honest" / f"{name}.py"
    task = path if "class Model(" in path.read_text() else TORCH / "task.py"
    result = late(path, task, monkeypatch, 0.1, device="torch")
    assert result.verdict is Verdict.CORRECT, result.evidence


def test_batches_behind_a_gate_are_timed_where_the_device_runs_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate_module, "CONTRASTS", ())
    result = late(NUMPY / "honest.py", NUMPY / "task.py", monkeypatch, 0.001, rounds=1, requests=2)
    assert result.verdict is Verdict.CORRECT, result.evidence
    assert {regime.gate for regime in result.regimes} == {"stream"}


@pytest.mark.parametrize(
    ("name", "finding"), [("cached_when_timed", "differs-when-timed"), ("background", "unsynchronised")]
)
def test_a_late_device_hides_no_cheat(name: str, finding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = late(NUMPY / f"{name}.py", NUMPY / "task.py", monkeypatch, 0.01, rounds=1, regimes=("hot",))
    assert result.verdict is Verdict.CHEATS and finding in {found.name for found in result.findings}
    (evidence,) = [row for row in result.evidence if row["kind"] in ("given", "witnesses")][:1]
    assert evidence.get("examples") or [step["when"] for step in evidence["comparisons"]][-1] == "copied again"


def test_an_answer_waits_for_the_device() -> None:
    seen: list[str] = []
    server = SimpleNamespace(
        do_work=lambda say: seen.append("queued") or {"state": "done"}, settle=lambda: seen.append("settled")
    )
    _serve(server, "work", {}, lambda answer: seen.append(answer["state"]))
    assert seen == ["queued", "settled", "done"]


def test_processes_that_stand_still_now_and_then_accuse_nobody(tmp_path: Path) -> None:
    options = Options(device="cpu", backend="numpy", rounds=1, requests=0, regimes=("hot",), limits=LIMITS)
    workers = spawn(options, tmp_path)
    over = threading.Event()

    def disturb() -> None:
        draw = random.Random(1)
        while not over.is_set():
            pid = draw.choice(workers).pid
            for number in (signal.SIGSTOP, signal.SIGCONT):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
                time.sleep(draw.uniform(0.005, 0.03))

    disturber = threading.Thread(target=disturb)
    for worker in workers:
        worker.ask("hello", 60.0)
    disturber.start()
    try:
        result = evaluate(NUMPY / "honest.py", NUMPY / "task.py", options, workers=(workers, tmp_path))
    finally:
        over.set()
        disturber.join()
    assert result.verdict is Verdict.CORRECT, result.evidence


def test_a_limit_does_not_run_while_the_judge_itself_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(child_module.time, "monotonic", lambda: now[0])
    patience = Patience(1.0)
    now[0] = 500.0  # the machine slept
    assert not patience.over()
    for _ in range(20):
        now[0] += 0.05
        patience.over()
    assert patience.over()


def test_a_thread_that_comes_late_opens_no_other_batch(tmp_path: Path) -> None:
    opened: list[int] = []
    latch = Latch(opened.append)
    latch.arm(1)
    assert latch.open(1) and not latch.open(1)
    latch.arm(2)
    assert not latch.open(1)  # the watcher of batch 1, held up until now
    assert opened == [1]
    with Board(tmp_path / "board") as board:
        latch.watch(board, 3)
        board.open_gate(3)
        end_s = time.monotonic() + 20
        while opened != [1, 3] and time.monotonic() < end_s:
            time.sleep(0.005)
    assert opened == [1, 3]


def test_who_cannot_queue_is_let_go_also_where_inputs_are_staged(tmp_path: Path) -> None:
    class Blocked:
        answers = 0

        def next_sequence(self) -> int:
            return 7

        def send(self, command: str, **_: Any) -> None:
            pass

        def waiting(self, limit_s: float) -> bool:
            return False

        def answer(self, limit_s: float) -> dict[str, Any]:
            assert (board.gate(), board.load()) == (7, 7)
            self.answers += 1
            return {}

    with Board(tmp_path / "board") as board:
        blocked = Blocked()
        clock = Timed(blocked, board, 10.0, staged=True)  # type: ignore[arg-type]
        with pytest.raises(HostSynchronisesError):
            clock.batch([0], "stream", lambda: None, 8)
    assert blocked.answers == 2


def test_too_much_taken_off_for_the_harness_accuses_nobody() -> None:
    """The windows without a model were taken in a busy moment; one per cent is one per cent all the same."""

    def window(side: str, order: list[int], gate: str, *, how: How = USUAL, control: bool = False) -> float:
        if side == "empty":
            empties.append(1)
            return 0.99 if len(empties) <= 3 else 0.2
        return 1.00 if not how.change else 1.01

    empties: list[int] = []
    made = Comparisons(window, SimpleNamespace(cold_slots=4), Correctness())  # type: ignore[arg-type]
    asked = next(one for one in CONTRASTS if one.finding == "skips-repeated-work")
    assert made.ask(asked, "host", 16) is None


def comparisons(candidate: dict[int, float], reference: dict[int, float]) -> Comparisons:
    """Windows by the number of slots they take, in s, now and then three times as long."""
    rng = random.Random(5)

    def window(side: str, order: list[int], gate: str, *, how: How = USUAL, control: bool = False) -> float:
        work = {"empty": {1: 0.0, 2: 0.0}, "candidate": candidate, "reference": reference}[side][len(set(order))]
        return (1.0 + work) * rng.choice((1.0, 1.0, 1.01, 3.0))

    task = SimpleNamespace(cold_slots=4, layout=SimpleNamespace(input_bytes=1), facts={"l2_bytes": 64})
    return Comparisons(window, task, Correctness())  # type: ignore[arg-type]


def test_what_takes_the_reference_longer_as_well_accuses_nobody() -> None:
    """Two sets of inputs do not fit in a cache that one does: the candidate is as much slower as the reference."""
    asked = next(one for one in CONTRASTS if one.pair)
    machine = comparisons({1: 10.0, 2: 40.0}, {1: 5.0, 2: 20.0})
    assert machine.ask(asked, "host", 16) is None
    assert [bool(row["reference_easy_s"]) for row in machine.rows] == [False, True, True]  # suspected, then cleared
    gain = comparisons({1: 10.0, 2: 40.0}, {1: 5.0, 2: 5.2}).ask(asked, "host", 16)
    assert gain is not None and gain > 3


def test_what_a_model_is_built_from_travels_by_pipe_whatever_its_size(tmp_path: Path) -> None:
    task = tmp_path / "task.py"
    body = "\n    def __init__(self):\n        self.table = np.random.standard_normal((400, 4000))\n"
    task.write_text((NUMPY / "task.py").read_text().replace("class Model:", "class Model:" + body))
    assert "self.table" in task.read_text()
    with (
        Child(["reference", "numpy", "cpu"], tmp_path / "r") as reference,
        Child(["pace", "numpy", "cpu"], tmp_path / "p") as pace,
    ):
        told, given = reference.ask_bytes("load_task", 60.0, path=str(task), seed=3)
        assert len(given) > 12_000_000
        answer = pace.ask("load", 60.0, given, path=str(task), seed=3, init_bytes=told["init_bytes"])
    assert answer["adopted"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["log.txt", "log.txt", "task.py"]


def test_candidates_of_one_task_are_judged_one_after_the_other() -> None:
    options = Options(device="cpu", backend="numpy", rounds=0, requests=0, limits=LIMITS)
    paths = [NUMPY / f"{name}.py" for name in ("honest", "zeros", "own_buffer")]
    found = [row.verdict for row in evaluate_all(paths, NUMPY / "task.py", options, lambda _: None)]
    assert found == [Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT]


def test_a_worker_outlives_the_thread_that_started_it_and_its_end_is_known(tmp_path: Path) -> None:
    made: list[Child] = []

    def start() -> None:
        made.append(Child(["candidate", "numpy", "cpu"], tmp_path))
        made[0].ask("hello", 60.0)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    with made[0] as worker:
        time.sleep(0.05)
        assert worker.ask("hello", 60.0)["device"] == "cpu"
        os.kill(worker.pid, signal.SIGTERM)
        with pytest.raises(Fault, match="killed by SIGTERM"):
            worker.ask("hello", 60.0)
