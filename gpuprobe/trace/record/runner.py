"""Running a command with the recorder inside it, and what is left on disk afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.trace.kineto import read_kineto
from gpuprobe.trace.model import Trace
from gpuprobe.trace.record.decode import decode
from gpuprobe.trace.record.library import Recorder, recorder_library
from gpuprobe.trace.record.power import PowerLog, PowerRecorder
from gpuprobe.trace.record.spool import Spool, read_spool
from gpuprobe.trace.record.window import Window, cut
from gpuprobe.trace.store import write_trace

_INJECTIONS = ("CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH")
_STARTUP = Path(__file__).resolve().parent / "startup"
"""Holds a sitecustomize.py, which Python runs first where PYTHONPATH names this folder."""
_FORWARDED = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Order:
    """What to run and how.

    ``calls``: none, launch (those that launch, move, wait or allocate) or all. ``seconds`` count from the first CUDA
    call, or from the end of ``delay``, the seconds before recording begins. ``syncs``: synchronisation records (which
    stream or event a wait was for), beside the calls that wait. ``torch_ops``: operators of a Python program that uses
    torch become ranges with their shapes. ``graphs``: CUDA graphs as nodes, or each launch whole. ``sample``: record
    windows of so many milliseconds, with pauses of so many on average. ``capture``: all, or profiler-api (between
    cudaProfilerStart and cudaProfilerStop).
    """

    command: tuple[str, ...]
    output: Path
    window: Window = field(default_factory=Window)
    seconds: float | None = None
    delay: float | None = None
    calls: str = "launch"
    torch_ops: bool = False
    syncs: bool = False
    graphs: str = "nodes"
    sample: tuple[int, int] | None = None
    capture: str = "all"


@dataclass(frozen=True)
class Recording:
    """What a run left: the command's exit status as a shell gives it, files and their traces, and messages."""

    status: int
    files: tuple[Path, ...]
    traces: tuple[Trace, ...]
    notes: tuple[str, ...]


def record(order: Order) -> Recording:
    """Run the command, record it, write the trace; the command's own failure is its status, not an error."""
    _refuse_other_tools(os.environ)
    recorder = recorder_library()
    folder = _spool_folder(order.output)
    begin = time.monotonic()
    with PowerRecorder.of_this_machine() as power:
        status = _run(order.command, environment(os.environ, recorder, folder, order))
    seconds = time.monotonic() - begin
    notes = [f"no power samples: {power.problem}"] if power.problem else []
    try:
        recording = _finish(folder, power.logs(), order, status, seconds)
    except GpuprobeError as error:
        hint = f"the raw records are kept in {folder}"
        raise GpuprobeError(f"the recording could not be written: {error.message}", hint, error.exit_code) from error
    shutil.rmtree(folder, ignore_errors=True)
    return replace(recording, notes=(*notes, *recording.notes))


def _finish(folder: Path, power: Sequence[PowerLog], order: Order, status: int, seconds: float) -> Recording:
    """Decode and write what the processes left; a run that left nothing fails, where the command itself did not."""
    spools = read_spools(folder)
    refused = list(dict.fromkeys(spool.info["refused"] for spool in spools if spool.info.get("refused")))
    notes = [_refusal(reason) for reason in refused]
    recorded = [spool for spool in spools if not spool.info.get("refused")]
    if not recorded and (profiled := sorted(folder.glob("*.kineto.json"))):
        files, traces = _profiled(profiled, order, seconds)
        return Recording(status, files, traces, (*notes, _instead(traces), *_unheeded(order)))
    if not recorded:
        return Recording(status or Exit.CHECK_FAILED, (), (), (*notes, *_nothing(refused)))
    files, traces = write_recording(recorded, power, order, seconds)
    return Recording(status, files, traces, tuple(notes))


def _instead(traces: Sequence[Trace]) -> str:
    """What torch.profiler could see: nothing of the GPU where a client other than it holds CUPTI."""
    if any(len(trace.gpu.start) for trace in traces):
        return "torch.profiler recorded instead, from torch's first CUDA call"
    return (
        "torch.profiler recorded instead, and the other client kept the GPU from it too: the files hold operators alone"
    )


def _unheeded(order: Order) -> Iterator[str]:
    """The options of when to record that torch.profiler was not told: it recorded from its start to the end."""
    given = {
        "--seconds": order.seconds is not None,
        "--delay": order.delay is not None,
        "--sample": order.sample is not None,
        "--capture": order.capture != "all",
    }
    if asked := ", ".join(option for option, is_given in given.items() if is_given):
        yield f"torch.profiler recorded all there was: {asked} did not apply"


def _profiled(paths: Sequence[Path], order: Order, seconds: float) -> tuple[tuple[Path, ...], tuple[Trace, ...]]:
    """The traces that torch.profiler left, one file a process, without power samples."""
    files, traces = [], []
    for number, path in enumerate(paths):
        output = order.output if number == 0 else order.output.with_name(f"{order.output.stem}.{number}.gptrace")
        trace = cut(read_kineto(path), order.window)
        source = {**trace.meta["source"], "file": output.name}
        run = {"command": list(order.command), "wall_seconds": round(seconds, 3)}
        trace = replace(trace, meta={**trace.meta, "source": source, "run": run})
        write_trace(trace, output)
        files.append(output)
        traces.append(trace)
    return tuple(files), tuple(traces)


def environment(before: Mapping[str, str], recorder: Recorder, folder: Path, order: Order) -> dict[str, str]:
    """The command's environment: the driver and NVTX load the recorder; preloading it catches ``_exit``."""
    added = {name: str(recorder.library) for name in _INJECTIONS}
    added["LD_PRELOAD"] = ":".join(filter(None, (str(recorder.library), before.get("LD_PRELOAD"))))
    added |= {"GPUPROBE_SPOOL": str(folder), "GPUPROBE_CALLS": order.calls, "GPUPROBE_GRAPHS": order.graphs}
    if recorder.cupti is not None:
        added["GPUPROBE_CUPTI"] = str(recorder.cupti)
    added["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_STARTUP), before.get("PYTHONPATH"))))
    if order.syncs:
        added["GPUPROBE_SYNCS"] = "1"
    if order.torch_ops:
        added["GPUPROBE_TORCH_OPS"] = "1"
    if order.sample is not None:
        added["GPUPROBE_SAMPLE"] = f"{order.sample[0]}:{order.sample[1]}"
    if order.capture != "all":
        added["GPUPROBE_CAPTURE"] = order.capture
    if order.seconds is not None:
        added["GPUPROBE_MILLISECONDS"] = str(max(1, round(order.seconds * 1000)))
    if order.delay is not None:
        added["GPUPROBE_DELAY_MILLISECONDS"] = str(max(1, round(order.delay * 1000)))
    return {**before, **added}


def read_spools(folder: Path) -> list[Spool]:
    """Every process's spool in a folder; one killed before it wrote its first block has nothing to say."""
    spools = [read_spool(path) for path in sorted(folder.glob("*.spool"))]
    return [spool for spool in spools if spool.info]


def write_recording(
    spools: Sequence[Spool], power: Sequence[PowerLog], order: Order, seconds: float
) -> tuple[tuple[Path, ...], tuple[Trace, ...]]:
    """One file, or one per rank (``out.rank0.gptrace``) where the processes are ranks of a job."""
    files, traces = [], []
    for path, group in _by_rank(spools, order.output):
        trace = cut(decode(group, power), order.window)
        source = {**trace.meta["source"], "file": path.name}
        run = {"command": list(order.command), "wall_seconds": round(seconds, 3)}
        trace = replace(trace, meta={**trace.meta, "source": source, "run": run})
        write_trace(trace, path)
        files.append(path)
        traces.append(trace)
    return tuple(files), tuple(traces)


def _by_rank(spools: Sequence[Spool], output: Path) -> Iterator[tuple[Path, Sequence[Spool]]]:
    """(file, processes); processes of a rank stay together, those without one (a launcher) go with rank 0."""
    ranks = sorted({int(rank) for spool in spools if (rank := spool.info.get("rank", "")).isdigit()})
    if len(ranks) < 2:
        yield output, spools
        return
    for number in ranks:
        group = [spool for spool in spools if (spool.info.get("rank") or str(ranks[0])) == str(number)]
        yield output.with_name(f"{output.stem}.rank{number}{output.suffix}"), group


def _run(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """The command's exit status; 128 + n where signal n ended it. Ctrl-C is the command's to answer."""
    try:
        process = subprocess.Popen(command, env=dict(variables))
    except OSError as error:
        raise GpuprobeError(
            f"cannot run {command[0]}: {error.strerror or error}", "check the command after --"
        ) from error
    with _forwarding(process):
        status = process.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _forwarding(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ctrl-C reaches the command by the terminal; a signal sent to gpuprobe alone is passed on."""
    before = {number: signal.signal(number, lambda got, _: process.send_signal(got)) for number in _FORWARDED}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_other_tools(variables: Mapping[str, str]) -> None:
    for name in _INJECTIONS:
        if other := variables.get(name):
            raise GpuprobeError(
                f"another profiler already injects itself into CUDA programs ({name}={other})",
                "run gpuprobe outside of it (nsys, ncu, another gpuprobe), or unset the variable",
            )


def _refusal(reason: str) -> str:
    if "SUBSCRIBER" in reason.upper():
        return f"another CUPTI client (nsys, ncu, a debugger, the program's own profiler) is active: {reason}"
    return f"CUPTI did not start: {reason}"


def _nothing(refused: Sequence[str]) -> tuple[str, ...]:
    if refused:
        return ("nothing was recorded; with torch.profiler in the program, give its JSON to: gpuprobe trace analyze",)
    return ("nothing was recorded: the program never initialised CUDA",)


def _spool_folder(output: Path) -> Path:
    """A folder for the spool files beside the output, on the disk that is to hold the trace."""
    try:
        return Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.absolute().parent))
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {output}: {error.strerror or error}", "choose another path with -o"
        ) from error
