"""Workers forked from a process that has imported their libraries already: importing torch anew takes seconds each.

The nursery computes nothing and touches no device. It ends when its line to the judge is closed, whatever became of the
judge, and its workers end with it. ``python -m gpuprobe.kernel_eval.nursery BACKEND LINE_FD``.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.kernel_eval.fence import hide_memory, show_memory
from gpuprobe.kernel_eval.worker import main as work
from gpuprobe.kernel_eval.worker import module_of

IMPORT_LIMIT_S: Final = 600.0
_LENGTH_BYTES: Final = 8
_DESCRIPTORS: Final = 4
_KILLED: Final = -int(signal.SIGKILL)


class Forked:
    """A worker that the nursery started, with what ``subprocess.Popen`` offers of a process."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid, self._status = pid, status
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        return self._look(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return code

    def kill(self) -> None:
        """Kill it."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _look(self, seconds: float | None) -> int | None:
        if self._code is None and select.select([self._status], [], [], seconds)[0]:
            told = os.read(self._status, 16)
            os.close(self._status)
            self._code = int(told) if told else _KILLED
        return self._code


class Nursery:
    """The judge's side."""

    def __init__(self, backend: str, environment: Mapping[str, str]) -> None:
        self._line, theirs = socket.socketpair()
        self._line.settimeout(IMPORT_LIMIT_S)
        self._lock = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gpuprobe.kernel_eval.nursery", backend, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(environment),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def start(
        self, arguments: list[str], pipes: tuple[int, int], folder: Path, log: int, environment: Mapping[str, str]
    ) -> Forked:
        """Fork a worker that runs in ``folder``, reads from one pipe, answers on the other and prints to ``log``."""
        request = json.dumps({"arguments": arguments, "folder": str(folder), "environment": dict(environment)}).encode()
        status, told = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._line, [len(request).to_bytes(_LENGTH_BYTES, "little")], [*pipes, log, told])
                self._line.sendall(request)
                return Forked(int.from_bytes(_exactly(self._line, _LENGTH_BYTES), "little"), status)
        except OSError as error:
            os.close(status)
            raise GpuprobeError(f"no worker can be started: {error}", "see whether its libraries import") from error
        finally:
            os.close(told)


_KEPT: dict[tuple[int, str], Nursery] = {}
_KEPT_LOCK: Final = threading.Lock()


def nursery(backend: str, environment: Mapping[str, str]) -> Nursery:
    """The nursery of this process for a backend."""
    key = (os.getpid(), backend)
    with _KEPT_LOCK:
        if key not in _KEPT or not _KEPT[key].alive():
            _KEPT[key] = Nursery(backend, environment)
        return _KEPT[key]


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = line.recv(size - len(data))
        if not part:
            raise ConnectionError("the line to the nursery is closed")
        data += part
    return data


def main(arguments: list[str]) -> int:
    """Import what BACKEND's workers need, then fork a worker for each request until the line is closed."""
    backend, number = arguments
    hide_memory()
    with suppress(ImportError, OSError, RuntimeError, AttributeError):  # each worker says itself what is amiss
        prepare = getattr(import_module(module_of(backend)), "preload", None)
        if prepare:
            prepare()
    gc.freeze()
    line = socket.socket(fileno=int(number))
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    running: dict[int, int] = {}
    while True:
        for ready in select.select([line.fileno(), woken], [], [])[0]:
            if ready == woken:
                os.read(woken, 4096)
                _reap(running)
                continue
            head, descriptors, _, _ = socket.recv_fds(line, _LENGTH_BYTES, _DESCRIPTORS)
            if not head:
                return 0
            request = json.loads(_exactly(line, int.from_bytes(head, "little")))
            pid = os.fork()
            if pid == 0:
                line.detach()
                return _become_worker(request, descriptors)
            running[pid] = descriptors.pop()
            for descriptor in descriptors:
                os.close(descriptor)
            line.sendall(pid.to_bytes(_LENGTH_BYTES, "little"))


def _reap(running: dict[int, int]) -> None:
    """Report the exit codes of workers that have ended."""
    for pid, told in list(running.items()):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with suppress(BrokenPipeError):  # the judge has closed its end: nobody asks any more
                os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(told)
            del running[pid]


def _become_worker(request: dict[str, Any], descriptors: list[int]) -> int:
    """Be a worker as one started afresh would be: session, folder, environment, open files."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    asked, answers, log, _ = descriptors
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in enumerate((nothing, log, log)):
        os.dup2(source, target)
    low, high = sorted((asked, answers))
    os.closerange(3, low)
    os.closerange(low + 1, high)
    os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
    show_memory()
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0], tempfile.tempdir = request["folder"], None
    arguments = [*request["arguments"], str(asked), str(answers)]
    sys.argv[1:] = arguments
    return work(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
