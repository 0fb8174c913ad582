"""What recording costs: small torch.mm in a row, Llama-1B decode steps, and the same steps as a CUDA graph.

Use, with a GPU, torch and transformers: python benchmarks/trace_record.py [--programs launches=30,layers,decode,graph]
[--rounds N] [--pairs N] [--output FILE.json]     (launches=30: begin no round of it after 30 s)

Every way of recording is a process of its own. All start together, then take turns in random order, one running while
the others are stopped; its first thread has the quietest core for itself, its other threads have others. Two designs:

launches, loop, tokens: recorders as `gpuprobe trace record` runs them, on from the start (torch.profiler: from before
to after a turn). A turn is ten pieces of 500 torch.mm, 20,000 of them (with power samples), 8 decode steps. The cost is
the ratio of a turn's median to that of the bare programs of the same round: all that recording costs. Two processes of
one way (bare, recorded) are told together.

mm, decode, layers, graph: short pieces in pairs, recorder pausing (--capture profiler-api) and on, in the order ABBA;
layers are neighbouring ones of a token. The cost is the median ratio of neighbours; the interval is that of the medians
of its turns, so that a slow minute of the host counts once. "bare" has pairs too: how steady the host is. What goes on
in pauses is not in this cost: the records of API calls.

A time in brackets is what a tenth of the pieces stay below. The JSON is written after every round; a process that hangs
or dies is left out and told. Without a GPU: --programs fake or fakeloop, with GPUPROBE_CUPTI naming a stand-in for
libcupti, tries the machinery out.
"""

import argparse
import contextlib
import ctypes
import gc
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

from trace_programs import UNITS, Programs

CORES = 4
PATIENCE_S = {"start": 60.0, "turn": 30.0, "end": 15.0}
PIECES = {"launches": 10}
"""Pieces of a turn, of programs that are recorded all the time; one where nothing is said."""

BARE = None
PAUSING = {"capture": "profiler-api"}
PROFILER = "torch.profiler"
PAIRED = {"bare": BARE, "recorded": PAUSING, "kernels alone": {**PAUSING, "calls": "none"}}
ON = {"bare": BARE, "bare again": BARE, "recorded": {}, "recorded again": {}}
PARTS = {
    "kernels alone": {"calls": "none"},
    "calls alone": {"delay": 1000.0},
    "attached, nothing on": {"delay": 1000.0, "calls": "none"},
    "samples of 20 ms, a fifth": {"sample": (20, 80)},
    "torch.profiler CUDA": PROFILER,
}
TRIED = {
    "GPU times in host memory": {"env": {"GPUPROBE_HOST_TIMESTAMPS": "1"}},
    "no flush in a turn": {"env": {"GPUPROBE_FLUSH_MS": "30000"}},
}
WAYS = {
    "launches": {**ON, **PARTS, **TRIED},
    "loop": {**ON, "kernels alone": {"calls": "none"}},
    "mm": PAIRED,
    "decode": {"bare": BARE, "recorded": PAUSING},
    "layers": {"bare": BARE, "recorded": PAUSING},
    "tokens": ON,
    "graph": {"bare": BARE, "recorded": PAUSING, "graphs whole": {**PAUSING, "graphs": "whole"}},
    "fake": PAIRED,
    "fakeloop": ON,
}
WHOLE = ("launches", "loop", "tokens", "fakeloop")
POLLED = ("loop", "tokens")
"""With power samples, as the command takes them."""


def switch(program, way):
    """A context manager in which the way is on."""
    if WAYS[program][way] == PROFILER:
        from torch.profiler import ProfilerActivity, profile

        return lambda: profile(activities=[ProfilerActivity.CUDA])
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


def work(way, name):
    """A process: says when it is ready, then answers each number on stdin with the seconds of so many pairs."""
    on = switch(name, way)
    with on() if name == "graph" else contextlib.nullcontext():  # CUPTI sees it captured
        program = Programs(name)
    gc.disable()

    def timed(how=contextlib.nullcontext):
        with how():
            program.prime()
            program.wait()
            begin = time.perf_counter()
            program.turn()
            program.wait()
            return time.perf_counter() - begin

    def pairs(count):
        found = []
        for number in range(count):
            order = (contextlib.nullcontext, on) if number % 2 == 0 else (on, contextlib.nullcontext)
            times = [timed(how) for how in order]
            found.append(times if number % 2 == 0 else times[::-1])
        return found

    def whole():
        with on():
            return [[None, timed()] for _ in range(PIECES.get(name, 1))]

    def answer(count):
        if name == "layers":
            return program.pairs_of_layers(on, 2 * count)
        return whole() if name in WHOLE else pairs(count)

    answer(1)
    print("> ready", flush=True)
    for line in sys.stdin:
        print(f"> {json.dumps(answer(int(line)))}", flush=True)


class Worker:
    """A program run in a way: a process that is stopped except in its turns."""

    def __init__(self, way, options, program, folder, cores):
        self.cores = cores
        self.way, self.program, self.problem, self.turns = way, program, "", []
        self.polled = program in POLLED and options is not BARE
        self.sampled = isinstance(options, dict) and "sample" in options
        self.spool = folder / f"{program}-{way}".replace(" ", "_").replace(",", "")
        self.spool.mkdir()
        self.errors = (folder / f"{self.spool.name}.log").open("w")
        command = [sys.executable, __file__, "--way", way, "--program", program]
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
            part = os.read(self.process.stdout.fileno(), 65536) if ready else b""
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
        """Every thread that it has by now to its cores (starting up, it had them all), and stop it."""
        self.pin()
        self.process.send_signal(signal.SIGSTOP)

    def pin(self):
        """Its first thread to the quietest core, all others to other ones."""
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), self.cores[int(thread.name) != self.process.pid])

    def turn(self, number, pairs):
        """So many pairs, or all of a whole program; nothing where the process is gone."""
        from gpuprobe.trace.record.power import PowerRecorder

        self.pin()
        self.process.send_signal(signal.SIGCONT)
        time.sleep(0.2 if self.sampled else 0.01)  # a sampling recorder's next window was due while it was stopped
        with contextlib.suppress(OSError):
            self.process.stdin.write(f"{pairs}\n".encode())
            self.process.stdin.flush()
        with PowerRecorder.of_this_machine() if self.polled else contextlib.nullcontext():
            answer = self.answer("turn")
        if answer is not None:
            self.turns.append({"round": number, "pairs_s": json.loads(answer)})
            self.process.send_signal(signal.SIGSTOP)

    def row(self):
        """What it measured."""
        return {"program": self.program, "way": self.way, "problem": self.problem, "turns": self.turns}


def environment_of(options, spool):
    """The environment of a way's process: the recorder's, where it has one."""
    if options in (BARE, PROFILER):
        return dict(os.environ)
    from gpuprobe.trace.record.library import recorder_library
    from gpuprobe.trace.record.runner import Order, environment

    order = Order((), spool, **{key: value for key, value in options.items() if key != "env"})
    return {**environment(os.environ, recorder_library(), spool, order), **options.get("env", {})}


def run(given, folder, results):
    """All ways of all programs; ``results`` gets the rows of a program after every round of it."""
    limits, cores = limits_of(given.programs), cores_by_quiet()
    results["machine"]["cores"] = [sorted(some) for some in cores]
    workers = {
        program: [
            Worker(way, options, program, folder, cores)
            for way, options in WAYS[program].items()
            if not given.ways or way in given.ways
        ]
        for program in limits
    }
    every = [worker for some in workers.values() for worker in some]
    until = time.monotonic() + PATIENCE_S["start"]
    for worker in every:
        if worker.answer("start", until) == "ready":
            worker.stop()
    for program, some in workers.items():
        begin = time.monotonic()
        for number in range(given.rounds):
            if time.monotonic() - begin > limits[program]:
                break
            alive = [worker for worker in some if not worker.problem]
            for worker in random.sample(alive, len(alive)):
                worker.turn(number, given.pairs)
            results[program] = [worker.row() for worker in some]
            write(results, given.output)
    end(every)
    for program, some in workers.items():
        results[program] = [{**worker.row(), **counts_of(worker)} for worker in some]


def cores_by_quiet():
    """The core that counts fastest, and the cores that the others may have: CORES of them, none its twin."""
    allowed = sorted(os.sched_getaffinity(0))
    counts = {core: [] for core in allowed}
    for _ in range(5):
        for core in allowed:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {core})
            counts[core].append(counted(0.003))
    os.sched_setaffinity(0, allowed)
    order = sorted(allowed, key=lambda core: -statistics.median(counts[core]))
    twins = Path(f"/sys/devices/system/cpu/cpu{order[0]}/topology/thread_siblings_list")
    told = twins.read_text().strip() if twins.is_file() else str(order[0])
    besides = [core for core in order[1:] if str(core) not in told.replace("-", ",").split(",")]
    return {order[0]}, set(besides[:CORES] or order)


def counted(seconds):
    """How far this thread counts in so many seconds."""
    until, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < until:
        count += 1
    return count


def limits_of(programs):
    """Program → the seconds after which no round of it begins."""
    return {name: float(seconds or "inf") for name, _, seconds in (part.partition("=") for part in programs.split(","))}


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
    """What its recorder wrote: records, those dropped, kernels, calls; how long windows took to begin and end."""
    from gpuprobe.trace.record.runner import read_spools

    spools = read_spools(worker.spool)
    if not spools:
        return {}
    counts = {key: sum(spool.stat(key) for spool in spools) for key in ("records", "dropped")}
    counts["kernels"] = sum(len(spool["kernels"]) for spool in spools)
    counts["calls"] = sum(len(spool["runtime"]) + len(spool["driver"]) for spool in spools)
    counts["switches"] = [spool.info.get("window_switches", "") for spool in spools]
    counts["refused"] = [spool.info["not_enabled"] for spool in spools if "not_enabled" in spool.info]
    return counts


def costs(rows, units):
    """Fill in each way's cost: over its own pauses, over the bare programs of the same round; median and interval."""
    bare = {}
    for row in rows:
        for turn in row["turns"] if row["way"].startswith("bare") else ():
            bare.setdefault(turn["round"], []).extend(time for pair in turn["pairs_s"] for time in pair if time)
    over_bare = {}
    for row in rows:
        turns = row["turns"]
        on = [statistics.median(pair[1] for pair in turn["pairs_s"]) for turn in turns]
        row["median_us"] = statistics.median(on) / units * 1e6 if on else None
        row["fast_us"] = fast([pair[1] for turn in turns for pair in turn["pairs_s"]]) / units * 1e6 if on else None
        over_bare.setdefault(row["way"].removesuffix(" again"), []).extend(
            time / statistics.median(bare[turn["round"]])
            for time, turn in zip(on, turns, strict=True)
            if turn["round"] in bare
        )
        if turns and turns[0]["pairs_s"][0][0] is not None:
            row.update(over_pause([turn["pairs_s"] for turn in turns], units))
    for row in rows:
        if ratios := over_bare[row["way"].removesuffix(" again")]:
            row["over_bare"] = interval(ratios, 1)


def fast(times):
    """What a tenth of the pieces stay below: the host undisturbed."""
    return sorted(times)[len(times) // 10]


def over_pause(turns, units):
    """The cost by pairs: interval of the turns' medians, median of all pairs, microseconds a launch or step."""
    pairs = [pair for turn in turns for pair in turn]
    return {
        "over_pause": interval([statistics.median(on / off for off, on in turn) for turn in turns], 1),
        "pairs": len(pairs),
        "median_over_pause": statistics.median(on / off for off, on in pairs) - 1,
        "extra_us": statistics.median(on - off for off, on in pairs) / units * 1e6,
    }


def interval(values, less=0):
    """Median and its 95 % interval, less a number."""
    from gpuprobe.stats import median_interval

    return [value - less for value in median_interval(values)]


def machine():
    """What a recorded call costs beside CUPTI: its clock and a system call, ns; the clock's source."""
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    found = {"clock_source": source.read_text().strip() if source.is_file() else "?", "load": os.getloadavg()}
    for name, call in (("clock_ns", time.time_ns), ("system_call_ns", os.getppid)):
        begin = time.perf_counter_ns()
        for _ in range(20_000):
            call()
        found[name] = (time.perf_counter_ns() - begin) / 20_000
    return found


def write(results, output):
    """The JSON so far, whole or not at all."""
    for program, rows in results.items():
        if program in UNITS:
            costs(rows, UNITS[program])
    if output is None:
        return
    temporary = output.with_suffix(".part")
    temporary.write_text(json.dumps(results))
    temporary.replace(output)


def show(rows):
    """A line for each way."""
    for row in rows:
        told = "".join(
            f"  {key.replace('_', ' ')} {row[key][0]:+7.1%} [{row[key][1]:+.1%}, {row[key][2]:+.1%}]"
            for key in ("over_pause", "over_bare")
            if key in row
        )
        if "pairs" in row:
            told += f"  {row['pairs']} pairs {row['median_over_pause']:+.1%} {row['extra_us']:+.2f} us"
        took = f"{row['median_us']:9.2f} us ({row['fast_us']:.2f})" if row["median_us"] else row["problem"][:60]
        kept = " ".join(f"{key} {row[key]}" for key in ("kernels", "calls", "dropped", "switches") if row.get(key))
        print(f"{row['program']:6} {row['way']:32} {took}{told}  {kept}", file=sys.stderr)


def main(given):
    """Measure, write, show."""
    results = {"machine": machine(), "units": UNITS}
    with tempfile.TemporaryDirectory() as folder:
        run(given, Path(folder), results)
    write(results, given.output)
    for program in limits_of(given.programs):
        show(results[program])
    if given.output is None:
        print(json.dumps(results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--programs", default="mm")
    parser.add_argument("--ways", action="append", help="only this way (may be given again)")
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=3, help="pairs of pieces in a turn")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.way:
        work(given.way, given.program)
    else:
        main(given)
