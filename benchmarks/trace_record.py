"""What recording costs: small torch.mm in a row, or Llama-1B decode steps; bare, recorded, under torch.profiler.

Use, with a GPU and torch: python benchmarks/trace_record.py [--programs mm,decode] [--rounds N] [--ways FILE.json]

Every way is a process of its own. All start together, then take turns in random order, one running while the others
are stopped, all on the same cores: machines drift, and single processes differ by more than recording costs. "bare
again" is what two equal processes differ by. FILE.json adds ways: name to environment variables of the recorder.
Prints a line for each way and one JSON object with all times in seconds.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE, AGAIN = "bare", "bare again"
PROGRAMS = {"mm": 4000, "decode": 6}
"""Launches of a turn, and steps of a turn."""
WARM_UP = 500
CORES = 4
FEWEST_ROUNDS = 3


def ways(extra):
    """Name → environment of the recorder, None for none."""
    return {
        BARE: None,
        AGAIN: None,
        "recorded": {},
        "torch.profiler CUDA": None,
        "torch.profiler CPU+CUDA": None,
        **extra,
    }


def program_of(name, torch):
    """Functions that run a turn, and a little of it."""
    if name == "mm":
        matrix = torch.randn(64, 64, device="cuda")

        def turn(launches=PROGRAMS["mm"]):
            for _ in range(launches):
                torch.mm(matrix, matrix)

        return turn, lambda: turn(WARM_UP)
    from gpuprobe.gpu.llm.model import build
    from gpuprobe.gpu.llm.plan import Point
    from gpuprobe.gpu.llm.steps import step_of

    torch.set_grad_enabled(False)
    step = step_of(build("llama-1b", "cuda"), Point("llama-1b", "decode", 1, 512), "cuda", 512)

    def steps():
        for _ in range(PROGRAMS["decode"]):
            step()

    return steps, step


def work(way, program):
    """A process: warm up, then a turn for each line on stdin, its seconds on stdout."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    turn, warm_up = program_of(program, torch)
    kinds = [ProfilerActivity.CUDA] + [ProfilerActivity.CPU] * ("CPU" in way)

    def timed():
        warm_up()
        torch.cuda.synchronize()
        begin = time.perf_counter()
        turn()
        torch.cuda.synchronize()
        return time.perf_counter() - begin

    def once():
        if not way.startswith("torch.profiler"):
            return timed()
        with profile(activities=kinds):
            return timed()

    for _ in range(3):
        once()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() != "go":
            break
        print(once(), flush=True)


class Worker:
    """A program run in a way: a process that is stopped except in its turns."""

    def __init__(self, way, variables, program, folder):
        from gpuprobe.trace.record.library import recorder_library
        from gpuprobe.trace.record.runner import Order, environment

        self.way, self.program, self.times = way, program, []
        self.spool = folder / str(len(list(folder.iterdir())))
        self.spool.mkdir()
        environ = dict(os.environ)
        if variables is not None:
            order = Order((), self.spool)
            environ = {**environment(environ, recorder_library(), self.spool, order), **variables}
            if given := variables.get("GPUPROBE_RECORDER"):
                environ |= dict.fromkeys(("CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH", "LD_PRELOAD"), given)
        command = [sys.executable, __file__, "--way", way, "--program", program]
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        self.process = subprocess.Popen(command, env=environ, **pipe)

    def wait_ready(self):
        """Whether it came up; it stops there."""
        ready = any(line.strip() == "ready" for line in iter(self.process.stdout.readline, ""))
        if ready:
            self.process.send_signal(signal.SIGSTOP)
        return ready

    def pin(self, cores):
        """Every thread that it has by now to the same cores; starting up, it had them all."""
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)

    def turn(self):
        """One timed turn."""
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))
        self.process.send_signal(signal.SIGSTOP)

    def end(self):
        """Let it end; records and dropped records of its recorder."""
        from gpuprobe.trace.record.runner import read_spools

        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait(20)
        spools = read_spools(self.spool)
        return {key: sum(spool.stat(key) for spool in spools) for key in ("records", "dropped")} if spools else {}


def main(programs, extra, rounds, seconds):
    """All ways of all programs in turns; only "mm" takes the added ways and torch.profiler's."""
    chosen = [
        (program, way, value) for program in programs for way, value in ways(extra if program == "mm" else {}).items()
    ]
    chosen = [(program, way, value) for program, way, value in chosen if program == "mm" or "profiler" not in way]
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(way, value, program, Path(folder)) for program, way, value in chosen]
        workers = [worker for worker in workers if worker.wait_ready()]
        cores = sorted(os.sched_getaffinity(0))[:CORES]
        for worker in workers:
            worker.pin(cores)
        order, begin = list(workers), time.monotonic()
        for done in range(rounds):
            if done >= FEWEST_ROUNDS and time.monotonic() - begin > seconds:
                break
            random.shuffle(order)
            for worker in order:
                worker.turn()
        counts = [worker.end() for worker in workers]
    bare = {worker.program: worker.times for worker in workers if worker.way == BARE}
    found = [
        {
            "program": worker.program,
            "way": worker.way,
            **row(worker.times, bare[worker.program], PROGRAMS[worker.program]),
            **count,
        }
        for worker, count in zip(workers, counts, strict=True)
    ]
    for one in found:
        spread = f"[{one['over_bare_low']:+.1%}, {one['over_bare_high']:+.1%}], least {one['least_over_bare']:+.1%}"
        print(
            f"{one['program']:7} {one['way']:26} {one['median_us']:10.2f} us {one['over_bare']:+7.1%} {spread}",
            file=sys.stderr,
        )
    print(json.dumps({"units_of_a_turn": PROGRAMS, "rounds": len(workers[0].times), "ways": found}))


def row(times, bare, units):
    """Median time of a unit, and the median ratio to bare over rounds with the middle half of it."""
    ratios = sorted(time / base - 1 for time, base in zip(times, bare, strict=True))
    quarter = len(ratios) // 4
    return {
        "median_us": statistics.median(times) / units * 1e6,
        "least_us": min(times) / units * 1e6,
        "over_bare": statistics.median(ratios),
        "over_bare_low": ratios[quarter],
        "over_bare_high": ratios[-1 - quarter],
        "least_over_bare": min(times) / min(bare) - 1,
        "times_s": [round(value, 6) for value in times],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--programs", default="mm")
    parser.add_argument("--ways", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no round later than this")
    given = parser.parse_args()
    if given.way:
        work(given.way, given.program)
    else:
        main(
            given.programs.split(","),
            json.loads(given.ways.read_text()) if given.ways else {},
            given.rounds,
            given.seconds,
        )
