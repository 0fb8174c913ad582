"""Many translation units compiled at once, in worker processes.

Workers are fresh interpreters on pipes, not multiprocessing: they need no ``if __name__ == "__main__"`` in the caller's
script and inherit no CUDA context. Processes, not threads: 80 kernels on 2 cores took 5.0 s alone, 3.1-5.4 s in 2
threads (NVRTC holds a lock for part of the work) and 2.3-3.4 s in 2 processes, their start included.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gpuprobe.build import nvrtc
from gpuprobe.build.nvrtc import Unit
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.resources import PACKAGE

Outcome = bytes | GpuprobeError

_SOME = 4  # compiling this few in this process is faster than starting a worker (about 0.5 s)
_FRUITLESS = 2


@dataclass(slots=True)
class _Workers:
    """The processes running; once ``stopped`` no further one is started."""

    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, worker: subprocess.Popen[bytes]) -> None:
        """Count ``worker`` in; one that was being started as the others were stopped ends as they did."""
        with self.lock:
            self.running.append(worker)
            if self.stopped:
                worker.kill()

    def stop(self) -> None:
        """End all of them."""
        with self.lock:
            self.stopped = True
            for worker in self.running:
                worker.kill()


def compile_units(units: Sequence[Unit], processes: int) -> list[Outcome]:
    """Cubin or error of every unit, in order: compiled here where they are few, else by up to ``processes`` workers."""
    count = min(processes, math.ceil(len(units) / _SOME))
    if count <= 1:
        return [_attempt(unit) for unit in units]
    workers = _Workers()
    with ThreadPoolExecutor(count) as pool:
        try:
            shares = list(pool.map(lambda first: _share(units[first::count], workers), range(count)))
        except BaseException:  # Ctrl-C: the pool waits for its threads, and those wait for the workers
            workers.stop()
            raise
    return [shares[index % count][index // count] for index in range(len(units))]


def _attempt(unit: Unit) -> Outcome:
    try:
        return nvrtc.compile_unit(unit)
    except GpuprobeError as error:
        return error


def _share(units: Sequence[Unit], workers: _Workers) -> list[Outcome]:
    """Outcomes of one share. Where the compiler crashed, that unit gets an error and a new worker the rest.

    Two workers in a row that answer nothing are no matter of one unit: all that is left gets the error.
    """
    outcomes: list[Outcome] = []
    fruitless = 0
    while len(outcomes) < len(units) and not workers.stopped:
        answers, failure = _answers(units[len(outcomes) :], workers)
        outcomes += answers
        fruitless = 0 if answers else fruitless + 1
        left = units[len(outcomes) :]
        outcomes += [_crash(unit, failure) for unit in (left if fruitless == _FRUITLESS else left[:1])]
    return outcomes


def _crash(unit: Unit, failure: str) -> GpuprobeError:
    return GpuprobeError(
        f"the compiler process ended on {unit.name}: {failure}", "try another NVRTC version", Exit.MACHINE_LACKS
    )


def _answers(units: Sequence[Unit], workers: _Workers) -> tuple[list[Outcome], str]:
    """What one worker answered before it ended, and why it ended (exit status and last line of its stderr)."""
    command = [sys.executable, "-m", "gpuprobe.build.nvrtc"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment()) as worker:
        workers.add(worker)
        output, errors = worker.communicate(nvrtc.request(units))
    lines = output.split(b"\n")[:-1]  # a crash may cut the last line
    last = errors.decode(errors="replace").strip().rpartition("\n")[2]
    return [nvrtc.answer(line) for line in lines], f"exit status {worker.returncode} {last}".strip()


def _environment() -> dict[str, str]:
    """This process's environment, in which Python finds the very package that runs here."""
    paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
