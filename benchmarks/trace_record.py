"""What recording costs: small torch.mm in a row, Llama-1B decode steps, and the same steps as a CUDA graph.

Use, with a GPU, torch and transformers: python benchmarks/trace_record.py [--programs mm,decode,graph] [--seconds S]
[--turns N] [--launches N] [--output FILE.json]

Every way is a process of its own. All start together, then take turns in random order, one running while the others
are stopped, all on the same cores. In a turn a process runs its program twice, in random order: with its recorder
pausing (--capture profiler-api, or outside of torch.profiler's context) and with it on. So a way's cost is a ratio of
two neighbouring runs of one process, which is steadier than processes are among each other: "bare" and "bare again"
say how steady. Ways without a pause (always on, samples, the time after --seconds) are compared with bare alone.
The JSON is written after every round; a process that hangs or dies is left out and told.
Without a GPU: --programs fake, with GPUPROBE_CUPTI naming a stand-in for libcupti, tries the machinery out.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BARE = "bare"
WARM_UP = 500
STEPS = 4
CORES = 4
PATIENCE_S = {"start": 55.0, "turn": 30.0, "end": 15.0}
PAUSING = {"capture": "profiler-api"}
MIB = 1 << 20

RECORDED = {
    "recorded": PAUSING,
    "kernels alone": {**PAUSING, "calls": "none"},
    "syncs too": {**PAUSING, "syncs": True},
    "all calls": {**PAUSING, "calls": "all"},
    "GPU's times in host memory": {**PAUSING, "env": {"GPUPROBE_HOST_TIMESTAMPS": "1"}},
    "buffers of 4 MiB, flushed each s": {
        **PAUSING,
        "env": {"GPUPROBE_BUFFER_BYTES": str(4 * MIB), "GPUPROBE_FLUSH_MS": "1000"},
    },
    "recorded, always on": {},
    "kernels alone, always on": {"calls": "none"},
    "a tenth in samples of 2 ms": {"sample": (2, 18)},
    "after --seconds": {"seconds": 0.001},
}
PROFILED = {"torch.profiler CUDA": None, "torch.profiler CPU+CUDA": None}
WAYS = {
    "mm": {BARE: None, "bare again": None, **RECORDED, **PROFILED},
    "decode": {
        BARE: None,
        "bare again": None,
        "recorded": PAUSING,
        "recorded, always on": {},
        "torch.profiler CUDA": None,
    },
    "graph": {BARE: None, "recorded": PAUSING, "graphs whole": {**PAUSING, "graphs": "whole"}},
    "fake": {BARE: None, **RECORDED},
}


class Programs:
    """What is timed: ``turn`` runs ``units`` of it, ``warm_up`` a little, ``wait`` waits for the GPU."""

    def __init__(self, name, launches):
        self.units = STEPS if name in ("decode", "graph") else launches
        getattr(self, f"_{name}")()

    def _mm(self):
        import torch

        matrix = torch.randn(64, 64, device="cuda")

        def turn(launches=self.units):
            for _ in range(launches):
                torch.mm(matrix, matrix)

        self.turn, self.warm_up, self.wait = turn, lambda: turn(WARM_UP), torch.cuda.synchronize

    def _decode(self, mode="eager"):
        import torch

        from gpuprobe.gpu.llm.model import build
        from gpuprobe.gpu.llm.plan import Point
        from gpuprobe.gpu.llm.steps import step_of

        torch.set_grad_enabled(False)
        step = step_of(build("llama-1b", "cuda"), Point("llama-1b", "decode", 1, 512, mode), "cuda", 2048)

        def turn():
            for _ in range(self.units):
                step()

        self.turn, self.warm_up, self.wait = turn, step, torch.cuda.synchronize

    def _graph(self):
        self._decode("graph")

    def _fake(self):
        cuda = ctypes.CDLL(os.environ["GPUPROBE_CUPTI"])
        if recorder := os.environ.get("CUDA_INJECTION64_PATH"):
            ctypes.CDLL(recorder).InitializeInjection()
        self.turn, self.warm_up, self.wait = lambda: cuda.fake_run(self.units), lambda: cuda.fake_run(10), lambda: None


def switch(program, way):
    """A context manager in which the way is on."""
    if "profiler" in way:
        from torch.profiler import ProfilerActivity, profile

        kinds = [ProfilerActivity.CUDA] + [ProfilerActivity.CPU] * ("CPU" in way)
        return lambda: profile(activities=kinds)
    if os.environ.get("GPUPROBE_CAPTURE") != "profiler-api":
        return contextlib.nullcontext
    if program == "fake":
        toggle = ctypes.CDLL(os.environ["GPUPROBE_CUPTI"]).fake_profiler
        begin, end = lambda: toggle(1), lambda: toggle(0)
    else:
        import torch

        runtime = torch.cuda.cudart()
        begin, end = runtime.cudaProfilerStart, runtime.cudaProfilerStop

    @contextlib.contextmanager
    def recording():
        begin()
        try:
            yield
        finally:
            end()

    return recording


def work(way, name, launches):
    """A process: says when it is ready, then runs a turn for each line on stdin and answers with its seconds."""
    on = switch(name, way)
    with on() if name == "graph" and "profiler" not in way else contextlib.nullcontext():  # CUPTI sees it captured
        program = Programs(name, launches)

    def timed(state):
        with on() if state == "on" else contextlib.nullcontext():
            program.warm_up()
            program.wait()
            begin = time.perf_counter()
            program.turn()
            program.wait()
            return time.perf_counter() - begin

    for state in ("off", "on", "off", "on"):
        timed(state)
    print("> ready", flush=True)
    for line in sys.stdin:
        print(f"> {timed(line.strip())}", flush=True)


class Worker:
    """A program run in a way: a process that is stopped except in its turns."""

    def __init__(self, way, options, program, launches, folder):
        self.way, self.program, self.problem = way, program, ""
        self.times = {"off": [], "on": []}
        self.spool = folder / f"{program}-{way}".replace(" ", "_").replace(",", "")
        self.spool.mkdir()
        self.errors = (folder / f"{self.spool.name}.log").open("w")
        self.states = ("off", "on") if options in (None, PAUSING) or (options or {}).get("capture") else ("on",)
        command = [sys.executable, __file__, "--way", way, "--program", program, "--launches", str(launches)]
        pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(command, env=environment_of(options, self.spool), **pipe)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.rest = b""

    def answer(self, kind, until=None):
        """The next answer of the process; None, with a problem, where it is silent for too long or gone."""
        until = until or time.monotonic() + PATIENCE_S[kind]
        while not self.problem:
            while b"\n" in self.rest:
                line, _, self.rest = self.rest.partition(b"\n")
                if line.startswith(b"> "):
                    return line[2:].decode()
            ready = self.selector.select(max(0.0, until - time.monotonic()))
            part = os.read(self.process.stdout.fileno(), 4096) if ready else b""
            self.rest += part
            if not part:
                self.problem = f"{'ended' if ready else 'silent'} in its {kind}: {self.last_words()}"
                self.process.kill()
        return None

    def last_words(self):
        """The end of what it wrote to stderr."""
        self.errors.flush()
        return Path(self.errors.name).read_text(errors="replace")[-400:].strip()

    def stop(self):
        """Every thread that it has by now to the same cores (starting up, it had them all), and stop it."""
        cores = sorted(os.sched_getaffinity(0))[:CORES]
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), cores)
        self.process.send_signal(signal.SIGSTOP)

    def turn(self):
        """One timed run in each state; nothing where the process is gone."""
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        found = {}
        for state in random.sample(self.states, len(self.states)):
            with contextlib.suppress(OSError):
                self.process.stdin.write(f"{state}\n".encode())
                self.process.stdin.flush()
            answer = self.answer("turn")
            if answer is None:
                return
            found[state] = float(answer)
        for state, seconds in found.items():
            self.times[state].append(seconds)
        self.process.send_signal(signal.SIGSTOP)

    def row(self):
        """What it measured."""
        return {"program": self.program, "way": self.way, "problem": self.problem, "times_s": self.times}


def environment_of(options, spool):
    """The environment of a way's process: the recorder's, where it has one."""
    if options is None:
        return dict(os.environ)
    from gpuprobe.trace.record.library import recorder_library
    from gpuprobe.trace.record.runner import Order, environment

    order = Order((), spool, **{key: value for key, value in options.items() if key != "env"})
    return {**environment(os.environ, recorder_library(), spool, order), **options.get("env", {})}


def run(given, folder, results):
    """All ways of all programs; ``results`` gets the rows of a program after every round of it."""
    workers = {
        program: [
            Worker(way, options, program, given.launches, folder)
            for way, options in WAYS[program].items()
            if not given.ways or way in given.ways
        ]
        for program in given.programs.split(",")
    }
    every = [worker for some in workers.values() for worker in some]
    until = time.monotonic() + PATIENCE_S["start"]
    for worker in every:
        if worker.answer("start", until) == "ready":
            worker.stop()
    for program, some in workers.items():
        begin = time.monotonic()
        for _ in range(given.turns):
            if time.monotonic() - begin > given.seconds:
                break
            alive = [worker for worker in some if not worker.problem]
            for worker in random.sample(alive, len(alive)):
                worker.turn()
            results[program] = [worker.row() for worker in some]
            write(results, given.output)
    end(every)
    for program, some in workers.items():
        results[program] = [{**worker.row(), **counts_of(worker)} for worker in some]


def end(workers):
    """Let all end at once, and not wait for ever."""
    for worker in workers:
        worker.process.send_signal(signal.SIGCONT)
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
    until = time.monotonic() + PATIENCE_S["end"]
    for worker in workers:
        try:
            worker.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.problem = worker.problem or "did not end"
            worker.process.kill()
            worker.process.wait()
        worker.process.stdout.close()
        worker.errors.close()


def counts_of(worker):
    """Records and dropped records of its recorder."""
    from gpuprobe.trace.record.runner import read_spools

    spools = read_spools(worker.spool)
    return {key: sum(spool.stat(key) for spool in spools) for key in ("records", "dropped")} if spools else {}


def costs(rows):
    """For each way its cost over its own pauses, and over all bare runs: median and 95 % interval."""
    from gpuprobe.stats import median_interval, ratio_of

    bare = [time for row in rows if row["way"].startswith(BARE) for state in row["times_s"].values() for time in state]
    for row in rows:
        off, on = row["times_s"]["off"], row["times_s"]["on"]
        if on and off:
            row["over_pause"] = [value - 1 for value in median_interval([b / a for a, b in zip(off, on, strict=True)])]
        if on and bare:
            row["over_bare"] = [value - 1 for value in ratio_of(median_interval(bare), median_interval(on))]
        if off and bare:
            row["pause_over_bare"] = [value - 1 for value in ratio_of(median_interval(bare), median_interval(off))]
        row["median_s"] = statistics.median(on) if on else None


def machine():
    """What a recorded call costs beside CUPTI: its clock and a system call, ns; the clock's source."""
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    found = {"clock_source": source.read_text().strip() if source.is_file() else "?"}
    for name, call in (("clock_ns", time.time_ns), ("system_call_ns", os.getppid)):
        begin = time.perf_counter_ns()
        for _ in range(20_000):
            call()
        found[name] = (time.perf_counter_ns() - begin) / 20_000
    return found


def write(results, output):
    """The JSON so far, whole or not at all."""
    if output is None:
        return
    for rows in results.values():
        if isinstance(rows, list):
            costs(rows)
    temporary = output.with_suffix(".part")
    temporary.write_text(json.dumps(results))
    temporary.replace(output)


def show(rows, units):
    """A line for each way."""
    for row in rows:
        told = "".join(
            f"  {key.replace('_', ' ')} {row[key][0]:+7.1%} [{row[key][1]:+.1%}, {row[key][2]:+.1%}]"
            for key in ("over_pause", "over_bare", "pause_over_bare")
            if key in row
        )
        took = f"{row['median_s'] / units * 1e6:9.2f} us" if row["median_s"] else row["problem"][:60]
        kept = f"records {row.get('records', '-')}, dropped {row.get('dropped', '-')}"
        print(f"{row['program']:7} {row['way']:33} {took}{told}  {kept}", file=sys.stderr)


def main(given):
    """Measure, write, show."""
    results = {"machine": machine(), "launches": given.launches, "steps": STEPS}
    with tempfile.TemporaryDirectory() as folder:
        run(given, Path(folder), results)
    for program in given.programs.split(","):
        costs(results[program])
        show(results[program], STEPS if program in ("decode", "graph") else given.launches)
    write(results, given.output)
    if given.output is None:
        print(json.dumps(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--programs", default="mm")
    parser.add_argument("--ways", action="append", help="only this way (may be given again)")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--launches", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=600.0, help="begin no round of a program later than this")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.way:
        work(given.way, given.program, given.launches)
    else:
        main(given)
