"""The command line: a table of commands, each imported only when it is called.

The overview (``gpuprobe --help``) is printed without click, whose import alone costs more than all the rest of a start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "doctor": ("gpuprobe.cli.doctor", "Check this machine: driver, compilers, sensors, permissions; with remedies."),
    "microbench": ("gpuprobe.cli.microbench", "Measure a GPU; without one, build every probe and replay a recording."),
    "explain": ("gpuprobe.cli.explain", "Say what a probe measures, and how."),
    "sweep": ("gpuprobe.cli.sweep", "Measure data sets on this GPU: GEMMs in three regimes, tiled kernels."),
    "trace": ("gpuprobe.cli.trace", "Record, analyse, compare and convert traces of GPU programs."),
    "predict": ("gpuprobe.cli.predict", "Predict times of GEMMs, tiled kernels and language models; power, energy."),
    "tune": ("gpuprobe.cli.tune", "Find the best configuration of a kernel: predict, measure a few, learn."),
    "train": ("gpuprobe.cli.train", "Rebuild the shipped models from their data."),
    "evaluate": ("gpuprobe.cli.evaluate", "Error tables of the models beside noise and baselines."),
    "roofline": ("gpuprobe.cli.roofline", "Draw the hierarchical roofline of a GPU, with GEMMs placed on it."),
    "profile": ("gpuprobe.cli.profile", "Peaks, latencies, bandwidths and energy of a GPU, derived from a run."),
    "kernel": ("gpuprobe.cli.kernel", "Judge a candidate kernel: is it right, how fast is it, does it cheat."),
    "workload": ("gpuprobe.cli.workload", "Trace an LLM with random weights over phases and batches."),
    "report": ("gpuprobe.cli.report", "Write one self-contained HTML page about runs and traces."),
    "compare": ("gpuprobe.cli.compare", "Compare two runs, or a run with the published values."),
}
"""Command → (module that holds it as ``command``, one line of help)."""

BROKEN_PIPE = 141  # 128 + SIGPIPE: what a shell reports for a program whose reader left


def overview() -> str:
    """Text of ``gpuprobe --help``."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {summary}" for name, (_, summary) in COMMANDS.items())
    return f"""\
Usage: gpuprobe COMMAND [OPTIONS]

Microbenchmarks, traces and performance models for NVIDIA GPUs.

Commands:
{commands}

Options:
  --version       Print the version.
  --help          Print this, or the help of one command: gpuprobe COMMAND --help
  --print-config  Print the options of a command, and where their values come from: a flag, the
                  environment (GPUPROBE_REPORT_OUTPUT), gpuprobe.toml, or the default.

Exit codes: 0 done, 1 a check failed, 2 wrong use, 3 the machine lacks something, 130 interrupted.
Tables have no colour where NO_COLOR is set."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give the exit code. An expected failure is one line on stderr, never a traceback."""
    from gpuprobe.errors import Exit, GpuprobeError

    _replace_what_the_terminal_cannot_show()
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except GpuprobeError as error:
        _say(error.message, error.hint)
        code = int(error.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        code = int(Exit.INTERRUPTED)
    except BrokenPipeError:
        code = BROKEN_PIPE
        _discard_stdout()
    except OSError as error:
        _say(
            f"cannot use {error.filename or 'standard output'}: {error.strerror or error}", "check path and free space"
        )
        code = int(Exit.MACHINE_LACKS)
        _discard_stdout()
    return code


def _run(args: list[str]) -> int:
    if "_GPUPROBE_COMPLETE" not in os.environ:
        if args in ([], ["--help"], ["-h"]):
            print(overview())
            return 0
        if args == ["--version"]:
            from gpuprobe import __version__

            print(f"gpuprobe {__version__}")
            return 0
    from gpuprobe.cli.group import run

    return run(args)


def _say(message: str, hint: str = "") -> None:
    """One line of error on stderr and the remedy below it; nowhere, where stderr itself is broken."""
    from contextlib import suppress  # here and below: 7 ms, which --help does not need

    with suppress(OSError):
        print(f"gpuprobe: error: {' '.join(message.split())}", file=sys.stderr)
        if hint:
            print(f"  hint: {' '.join(hint.split())}", file=sys.stderr)


def _replace_what_the_terminal_cannot_show() -> None:
    """Print '?' for a character (±, µ) that the terminal's encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _discard_stdout() -> None:
    """Point a broken stdout at nothing, so that Python's flush at exit does not fail a second time."""
    from contextlib import suppress

    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
