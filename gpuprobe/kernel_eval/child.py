"""A worker process under limits: asked by JSON lines, watched while it answers; its end is a Fault."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

from gpuprobe.kernel_eval.board import LARGEST_SEQUENCE

POLL_S: Final = 0.05
LONGEST_LINE: Final = 8 << 20
LOG_TAIL_BYTES: Final = 2000


class FaultKind(StrEnum):
    """How a worker ended or failed to answer."""

    CRASH = "crash"
    HANG = "hang"
    OUT_OF_MEMORY = "out-of-memory"
    ERROR = "error"
    PROTOCOL = "protocol"


class Fault(Exception):  # noqa: N818  a verdict on the worker, not an error of gpuprobe
    """A worker that crashed, hung, ran out of memory, raised, or broke the protocol; ``detail`` says more."""

    def __init__(self, kind: FaultKind, detail: str, trace: str = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail, self.trace = kind, detail, trace


class Child:
    """A worker in a session of its own. ``memory_bytes`` bounds its resident host memory; None for no bound."""

    def __init__(self, arguments: list[str], folder: Path, memory_bytes: int | None = None) -> None:
        self.folder, self._memory_bytes = folder, memory_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "log.txt"
        ask_read, self._ask = os.pipe()
        self._answer, answer_write = os.pipe()
        try:
            with self.log.open("wb") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "gpuprobe.kernel_eval.worker", *arguments, str(ask_read), str(answer_write)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder,
                    env=_environment(folder),
                    pass_fds=(ask_read, answer_write),
                    start_new_session=True,
                )
        finally:
            os.close(ask_read)
            os.close(answer_write)
        self._buffer, self._token = b"", ""
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The worker and what it started stand still: whoever is timed meanwhile has the machine for himself."""
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def next_sequence(self) -> int:
        """A number for a batch that the last 65,535 batches of this worker did not have."""
        self._sequence = self._sequence % LARGEST_SEQUENCE + 1
        return self._sequence

    def ask(self, command: str, limit_s: float, **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; Fault where none comes in ``limit_s`` seconds."""
        self.send(command, **arguments)
        return self.answer(limit_s)

    def send(self, command: str, **arguments: Any) -> None:
        """Send a command without waiting."""
        if self._buffer:
            self.kill()
            raise Fault(FaultKind.PROTOCOL, "an answer to nothing that was asked")
        self._token = secrets.token_hex(8)
        line = json.dumps({"command": command, "token": self._token, **arguments}).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._ask, line) :]
        except OSError as error:
            raise self._ended() from error

    def answer(self, limit_s: float) -> dict[str, Any]:
        """The next answer within ``limit_s`` seconds; Fault where the worker raised, ended, hung or talks nonsense."""
        end_s = time.monotonic() + limit_s
        while b"\n" not in self._buffer:
            if time.monotonic() > end_s:
                self.kill()
                raise Fault(FaultKind.HANG, f"no answer within {limit_s:.3g} s", self.tail())
            self._receive(min(POLL_S, max(0.0, end_s - time.monotonic())))
        line, _, self._buffer = self._buffer.partition(b"\n")
        return self._checked(line)

    def waiting(self, limit_s: float) -> bool:
        """Whether an answer came within ``limit_s`` seconds; the worker is left alone where none did."""
        end_s = time.monotonic() + limit_s
        while b"\n" not in self._buffer and time.monotonic() < end_s:
            self._receive(min(POLL_S, max(0.0, end_s - time.monotonic())))
        return b"\n" in self._buffer

    def check_alive(self) -> None:
        """Fault where the worker has ended or holds more memory than it may."""
        if self._process.poll() is not None:
            raise self._ended()
        if self._memory_bytes is not None and _resident_bytes(self.pid) > self._memory_bytes:
            self.kill()
            raise Fault(FaultKind.OUT_OF_MEMORY, f"more than {self._memory_bytes / 2**30:.3g} GiB of host memory")

    def _receive(self, seconds: float) -> None:
        ready, _, _ = select.select([self._answer], [], [], seconds)
        if ready:
            received = os.read(self._answer, 1 << 16)
            if not received:
                raise self._ended()
            self._buffer += received
            if len(self._buffer) > LONGEST_LINE:
                self.kill()
                raise Fault(FaultKind.PROTOCOL, "an answer without end")
        else:
            self.check_alive()

    def _checked(self, line: bytes) -> dict[str, Any]:
        """An answer that bears the token of the question; anything else was not written by the worker's own loop."""
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or answer.pop("token", None) != self._token:
            self.kill()
            raise Fault(FaultKind.PROTOCOL, "an answer that the harness did not write", self.tail())
        if "fault" in answer:
            known = {kind.value for kind in FaultKind}
            kind = FaultKind(answer["fault"]) if answer["fault"] in known else FaultKind.PROTOCOL
            raise Fault(kind, str(answer.get("detail", ""))[:500], str(answer.get("trace", ""))[-LOG_TAIL_BYTES:])
        return answer

    def _ended(self) -> Fault:
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            self.kill()
            return Fault(FaultKind.PROTOCOL, "the worker closed its line", self.tail())
        return Fault(FaultKind.CRASH, _reason(code), self.tail())

    def tail(self) -> str:
        """The end of what the worker printed."""
        data = self.log.read_bytes() if self.log.exists() else b""
        return data[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def kill(self) -> None:
        """End the worker and everything it started in its session."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        for descriptor in (self._ask, self._answer):
            if descriptor >= 0:
                os.close(descriptor)
        self._ask = self._answer = -1


def _reason(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"the process ended with exit code {code}"


def _resident_bytes(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _environment(folder: Path) -> Mapping[str, str]:
    """This process's environment with gpuprobe importable from the worker's own folder."""
    package = str(Path(__file__).resolve().parents[2])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
