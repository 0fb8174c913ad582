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
from gpuprobe.kernel_eval.nursery import Forked, nursery

POLL_S: Final = 0.05
LONGEST_LINE: Final = 8 << 20
LONGEST_STEP_S: Final = 0.25
SEND_LIMIT_S: Final = 60.0
PIPE_BYTES: Final = 1 << 16
LOG_TAIL_BYTES: Final = 2000
FORKS: Final = sys.platform == "linux"
"""Whether workers are forked: elsewhere what libraries start at import may not survive that."""


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


class Patience:
    """A limit in s that does not run while this process itself stands still: then nobody could have been heard."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._spent_s, self._seen_s = 0.0, time.monotonic()

    def over(self) -> bool:
        """Whether the limit is spent; to be asked at least every ``LONGEST_STEP_S``."""
        now_s = time.monotonic()
        self._spent_s += min(now_s - self._seen_s, LONGEST_STEP_S)
        self._seen_s = now_s
        return self._spent_s > self.limit_s


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
                self._process = _started(arguments, (ask_read, answer_write), folder.resolve(), log.fileno())
        finally:
            os.close(ask_read)
            os.close(answer_write)
        os.set_blocking(self._ask, False)
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

    def ask(self, command: str, limit_s: float, payload: bytes = b"", **arguments: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; Fault where none comes in ``limit_s`` seconds."""
        self.send(command, payload, **arguments)
        return self.answer(limit_s)

    def ask_bytes(self, command: str, limit_s: float, **arguments: Any) -> tuple[dict[str, Any], bytes]:
        """An answer and the bytes that follow it: for workers that are trusted not to send without end."""
        answer = self.ask(command, limit_s, **arguments)
        patience, size, payload = Patience(limit_s), int(answer.pop("payload_bytes", 0)), bytearray()
        while len(payload) < size:
            if not self._buffer:
                self._wait(patience)
            payload += self._buffer
            self._buffer = b""
        self._buffer = bytes(payload[size:])
        return answer, bytes(payload[:size])

    def send(self, command: str, payload: bytes = b"", **arguments: Any) -> None:
        """Send a command without waiting for its answer; Fault where the worker does not even take it."""
        if self._buffer:
            self.kill()
            raise Fault(FaultKind.PROTOCOL, "an answer to nothing that was asked")
        self._token = secrets.token_hex(8)
        size = {"payload_bytes": len(payload)} if payload else {}
        line = json.dumps({"command": command, "token": self._token, **size, **arguments}).encode() + b"\n"
        rest, patience = memoryview(line + payload), Patience(SEND_LIMIT_S)
        try:
            while rest:
                if select.select([], [self._ask], [], POLL_S)[1]:
                    rest = rest[os.write(self._ask, rest[:PIPE_BYTES]) :]
                elif patience.over():
                    self.kill()
                    raise Fault(FaultKind.HANG, f"a command not taken within {SEND_LIMIT_S:.3g} s", self.tail())
        except OSError as error:
            raise self._ended() from error

    def answer(self, limit_s: float) -> dict[str, Any]:
        """The next answer within ``limit_s`` seconds; Fault where the worker raised, ended, hung or talks nonsense."""
        patience = Patience(limit_s)
        while b"\n" not in self._buffer:
            if len(self._buffer) > LONGEST_LINE:
                self.kill()
                raise Fault(FaultKind.PROTOCOL, "an answer without end")
            self._wait(patience)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return self._checked(line)

    def _wait(self, patience: Patience) -> None:
        """Take in what comes, or Fault where it takes too long."""
        if patience.over():
            self.kill()
            raise Fault(FaultKind.HANG, f"no answer within {patience.limit_s:.3g} s", self.tail())
        self._receive(POLL_S)

    def waiting(self, limit_s: float) -> bool:
        """Whether an answer came within ``limit_s`` seconds; the worker is left alone where none did."""
        patience = Patience(limit_s)
        while b"\n" not in self._buffer and not patience.over():
            self._receive(min(POLL_S, limit_s))
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
        """End the worker and everything it started in its session; once: its number may be another's later."""
        if self._ask < 0:
            return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        for descriptor in (self._ask, self._answer):
            if descriptor >= 0:
                os.close(descriptor)
        self._ask = self._answer = -1


def _started(arguments: list[str], pipes: tuple[int, int], folder: Path, log: int) -> subprocess.Popen[bytes] | Forked:
    """A worker in a session of its own: forked from a nursery, or where that is not to be had started afresh."""
    environment = _environment(folder)
    if FORKS:
        return nursery(arguments[1], environment).start(arguments, pipes, folder, log, environment)
    return subprocess.Popen(
        [sys.executable, "-m", "gpuprobe.kernel_eval.worker", *arguments, *map(str, pipes)],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        cwd=folder,
        env=environment,
        pass_fds=pipes,
        start_new_session=True,
    )


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
