"""Runs first in a Python program under ``gpuprobe trace record``: what only Python can add to a recording.

Nothing happens before the program itself imports torch and uses CUDA. Then, with ``--torch-ops``, torch's operators
become NVTX ranges in the thread that did (torch carries them into its backward threads). And where CUPTI refused the
recorder because another client holds it, torch.profiler records instead, and leaves its JSON beside the spool files.
The program's own sitecustomize is run as it would have been.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs the program 5 ms


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Finds torch as every other finder would, and asks to be called once it is there."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The spec of torch with a loader that starts the ranges; None for anything else."""
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            _then(spec.loader)
        return spec


def _then(loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        lazy = getattr(getattr(module, "cuda", None), "_lazy_call", None)
        if lazy is not None:
            lazy(lambda: _start(module))

    loader.exec_module = exec_module


def _start(torch: Any) -> None:
    """CUDA is up: ranges or the profiler, until the process ends. The program must not fail for our sake."""
    try:
        if _is_refused():
            _profile(torch)
        elif os.environ.get("GPUPROBE_TORCH_OPS"):
            _emit(torch)
    except RuntimeError as error:  # the program profiles itself
        sys.stderr.write(f"gpuprobe: no operators: {error}\n")


def _emit(torch: Any) -> None:
    """Ranges of operators from here to the program's end."""
    ranges = torch.autograd.profiler.emit_nvtx(record_shapes=True)
    ranges.__enter__()

    def finish() -> None:
        with contextlib.suppress(RuntimeError):  # another thread began them
            ranges.__exit__(None, None, None)

    atexit.register(finish)


def _is_refused() -> bool:
    """Whether the recorder of this process wrote that CUPTI refused it."""
    spool = os.path.join(os.environ.get("GPUPROBE_SPOOL", ""), f"{os.getpid()}.0.spool")  # noqa: PTH118
    try:
        with open(spool, "rb") as file:  # noqa: PTH123
            pairs = file.read(65536).split(b"\0refused\0", 1)
    except OSError:
        return False
    return len(pairs) == 2 and not pairs[1].startswith(b"\0")


def _profile(torch: Any) -> None:
    """Record by torch.profiler from here to the program's end."""
    target = os.path.join(os.environ["GPUPROBE_SPOOL"], f"{os.getpid()}.kineto.json")  # noqa: PTH118
    process = os.getpid()
    kinds = torch.profiler.ProfilerActivity
    profiler = torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA], record_shapes=True)
    profiler.__enter__()

    def finish() -> None:
        if os.getpid() == process:
            profiler.__exit__(None, None, None)
            profiler.export_chrome_trace(target)

    atexit.register(finish)


def _give_way() -> None:
    """Import the sitecustomize that this one hides."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _HERE]  # noqa: PTH100
    own = sys.modules.pop("sitecustomize", None)
    try:
        importlib.import_module("sitecustomize")
    except ImportError:
        if own is not None:
            sys.modules["sitecustomize"] = own


if os.environ.get("GPUPROBE_SPOOL"):
    sys.meta_path.insert(0, _AfterTorch())
_give_way()
