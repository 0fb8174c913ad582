"""Runs first in a Python program under ``gpuprobe trace record``: what only Python can add to a recording.

Nothing happens before the program itself imports torch and uses CUDA. Then, with ``--torch-ops``, torch's operators
become NVTX ranges in the thread that did (torch carries them into its backward threads). And where CUPTI refused the
recorder because another client holds it, torch.profiler records instead, and leaves its JSON beside the spool files.
Torch has room for one profiler in a process: ours ends before the program's own begins, and goes on after it.
The program's own sitecustomize is run as it would have been.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import importlib.abc
import importlib.machinery
import os
import sys
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib costs the program 5 ms


class _AfterTorch(importlib.abc.MetaPathFinder):
    """Finds torch as every other finder would, and asks to be called once it is there.

    It stays until torch was imported: programs look for torch (``importlib.util.find_spec``) before they import it.
    """

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        """The spec of torch with a loader that starts the ranges; None for anything else."""
        if fullname != "torch":
            return None
        for finder in [other for other in sys.meta_path if other is not self and hasattr(other, "find_spec")]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    self._then(spec.loader)
                return spec
        return None

    def _then(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            with contextlib.suppress(ValueError):  # imported twice
                sys.meta_path.remove(self)
            execute(module)
            if hasattr(getattr(module, "cuda", None), "_lazy_call") and hasattr(module, "autograd"):
                _Session(module)

        loader.exec_module = exec_module


class _Ranges:
    """Torch's operators as NVTX ranges."""

    def __init__(self, torch: Any) -> None:
        self._ranges = torch.autograd.profiler.emit_nvtx(record_shapes=True)
        self._ranges.__enter__()

    def end(self) -> None:
        """No more ranges."""
        self._ranges.__exit__(None, None, None)


class _Profile:
    """A recording by torch.profiler, written as the process's next JSON file when it ends."""

    parts = 0

    def __init__(self, torch: Any) -> None:
        kinds = torch.profiler.ProfilerActivity
        self._profiler = torch.profiler.profile(activities=[kinds.CPU, kinds.CUDA], record_shapes=True)
        self._profiler.__enter__()

    def end(self) -> None:
        """Stop and write."""
        self._profiler.__exit__(None, None, None)
        name = f"{os.getpid()}.{_Profile.parts}.kineto.json"
        _Profile.parts += 1
        self._profiler.export_chrome_trace(os.path.join(os.environ["GPUPROBE_SPOOL"], name))  # noqa: PTH118


class _Session:
    """Ranges or a profile from the first CUDA call to the process's end, except while the program profiles itself."""

    def __init__(self, torch: Any) -> None:
        self._torch, self._process = torch, 0
        self._kind: Any = None
        self._running: Any = None
        self._ours, self._others = 0, 0
        profile = getattr(torch.autograd.profiler, "profile", None)  # what every profiler of torch's is made of
        if hasattr(profile, "_prepare_trace"):
            self._give_way(profile)
        torch.cuda._lazy_call(self._start)

    def _start(self) -> None:
        """CUDA is up."""
        if self._kind is None and (_is_refused() or os.environ.get("GPUPROBE_TORCH_OPS")):
            self._kind, self._process = _Profile if _is_refused() else _Ranges, os.getpid()
            self._resume()
            atexit.register(self._pause)

    def _resume(self) -> None:
        if self._kind and not self._running and not self._others and os.getpid() == self._process:
            self._running = self._guarded(lambda: self._kind(self._torch))

    def _pause(self) -> None:
        running, self._running = self._running, None
        if running is not None and os.getpid() == self._process:
            self._guarded(running.end)

    def _guarded(self, action: Any) -> Any:
        """Do it in this thread without giving way to it; the program must not fail for our sake."""
        self._ours = _thread.get_ident()
        try:
            return action()
        except (AssertionError, AttributeError, OSError, RuntimeError) as error:
            sys.stderr.write(f"gpuprobe: torch's own recording failed: {error}\n")
            return None
        finally:
            self._ours = 0

    def _give_way(self, profile: Any) -> None:
        """Around every profiler of the program: schedules skip ``__enter__``, but none skips these two methods."""
        prepare, leave = profile._prepare_trace, profile.__exit__

        def before(profiler: Any) -> Any:
            if self._ours != _thread.get_ident():
                self._others += 1
                self._pause()
            return prepare(profiler)

        def after(profiler: Any, *exception: Any) -> Any:
            try:
                return leave(profiler, *exception)
            finally:
                if self._ours != _thread.get_ident():
                    self._others = max(0, self._others - 1)
                    self._resume()

        profile._prepare_trace, profile.__exit__ = before, after


def _is_refused() -> bool:
    """Whether the recorder of this process wrote that CUPTI refused it."""
    spool = os.path.join(os.environ.get("GPUPROBE_SPOOL", ""), f"{os.getpid()}.0.spool")  # noqa: PTH118
    try:
        with open(spool, "rb") as file:  # noqa: PTH123
            pairs = file.read(65536).split(b"\0refused\0", 1)
    except OSError:
        return False
    return len(pairs) == 2 and not pairs[1].startswith(b"\0")


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
