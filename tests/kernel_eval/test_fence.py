"""What keeps a candidate away from the other processes: memory, pausing, standing; errors inside a timed batch."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpuprobe.kernel_eval.child import Child
from gpuprobe.kernel_eval.contrasts import CONTRASTS, USUAL, Comparisons, How
from gpuprobe.kernel_eval.correctness import Correctness
from gpuprobe.kernel_eval.evaluate import Options, evaluate
from gpuprobe.kernel_eval.fence import standing
from gpuprobe.kernel_eval.findings import Verdict
from gpuprobe.kernel_eval.session import Limits

HERE = Path(__file__).parent / "numpy_candidates"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="prctl and /proc")

HIDDEN = """
import sys, time
from gpuprobe.kernel_eval.fence import hide_memory
hide_memory()
print("hidden", flush=True)
time.sleep(20)
"""
OPENS = """
import sys
from gpuprobe.kernel_eval.fence import give_up_rights
give_up_rights()
for name in ("mem", "fd/1"):
    try:
        open(f"/proc/{sys.argv[1]}/{name}", "rb").close()
        print("opened", name)
    except OSError:
        pass
"""

KILLED = """
import os, sys
from pathlib import Path
from gpuprobe.kernel_eval.child import Child
child = Child(["candidate", "numpy", "cpu"], Path(sys.argv[1]))
child.ask("hello", 60.0)
child._signal(19)  # SIGSTOP: as while others are timed
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@LINUX
def test_a_worker_ends_with_its_judge_even_while_it_stands_still(tmp_path: Path) -> None:
    judge = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert judge.returncode == -9
    process, deadline = Path(f"/proc/{int(judge.stdout)}"), time.monotonic() + 20
    while process.exists() and _state(int(judge.stdout)) != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not process.exists() or _state(int(judge.stdout)) == "Z"


@LINUX
def test_a_candidate_cannot_open_memory_or_output_of_the_judge_even_as_root() -> None:
    with subprocess.Popen([sys.executable, "-c", HIDDEN], stdout=subprocess.PIPE, text=True) as hidden:
        assert hidden.stdout is not None and hidden.stdout.readline() == "hidden\n"
        found = subprocess.run(
            [sys.executable, "-c", OPENS, str(hidden.pid)], check=False, capture_output=True, text=True, timeout=30
        )
        hidden.kill()
    assert (found.returncode, found.stdout) == (0, "")


@LINUX
def test_a_change_of_priority_or_cpus_shows() -> None:
    with subprocess.Popen(["sleep", "20"]) as process:
        before = standing([process.pid])
        os.setpriority(os.PRIO_PROCESS, process.pid, 7 if before[0].nice != 7 else 8)
        assert standing([process.pid]) != before
        process.kill()


@LINUX
def test_a_paused_worker_stands_still_and_goes_on(tmp_path: Path) -> None:
    with Child(["candidate", "numpy", "cpu"], tmp_path) as child:
        child.ask("hello", 60.0)
        with child.paused():
            time.sleep(0.05)
            assert _state(child.pid) == "T"
        assert child.ask("hello", 10.0)["device"] == "cpu"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def test_what_is_raised_in_a_timed_batch_is_an_error_at_once_and_no_hang(tmp_path: Path) -> None:
    file = tmp_path / "later.py"
    text = (HERE / "own_buffer.py").read_text().replace("self.buffer = None", "self.buffer, self.calls = None, 0")
    body = "        self.calls += 1\n        if self.calls > 18:\n            raise ValueError('late')\n        if self"
    file.write_text(text.replace("        if self", body, 1))
    options = Options(device="cpu", backend="numpy", rounds=3, requests=4, metrics=False, limits=Limits(call_s=60.0))
    begin_s = time.monotonic()
    result = evaluate(file, HERE / "task.py", options)
    assert result.verdict is Verdict.FAILED
    assert [(f.name, "late" in f.detail) for f in result.findings if f.gravity == "fault"] == [("error", True)]
    assert time.monotonic() - begin_s < 45.0


def test_what_watching_costs_is_what_it_costs_the_reference_in_the_same_round() -> None:
    """A busy machine slows the watching of outputs alike on both sides; skipped work is the candidate's alone."""

    def bench(work_s: float, skipped_s: float, watch_s: float, dearer: float = 1.0) -> Comparisons:
        rng = random.Random(1)

        def window(side: str, order: list[int], gate: str, *, how: How = USUAL, control: bool = False) -> float:
            busy = 1.0 if side == "empty" else slow.setdefault(len(taken) // 4, rng.uniform(1, 8))
            taken.extend([side] * (side != "empty"))
            work = 0.0 if side == "empty" else work_s - (skipped_s if side == "candidate" and not how.whole else 0.0)
            watching_s = watch_s * (dearer if side == "candidate" else 1.0)
            return busy * (work + (watching_s if how.whole else 6e-5))

        taken: list[str] = []
        slow: dict[int, float] = {}
        made = Comparisons(window, SimpleNamespace(cold_slots=4), Correctness())  # type: ignore[arg-type]
        made._random = random.Random(2)
        return made

    watched = next(one for one in CONTRASTS if one.finding == "skips-unwatched")
    assert bench(2e-3, 0.0, 6e-3).ask(watched, "host", 16) is None
    assert bench(2e-3, 0.0, 6e-3, dearer=1.4).ask(watched, "host", 16) is None
    for gate, watch_s in (("host", 1e-3), ("stream", 6e-3)):
        gain = bench(2e-3, 1.9e-3, watch_s).ask(watched, gate, 16)
        assert gain is not None and gain > 2
