"""A journal of a campaign: each finished probe is on disk before the next begins.

The file is JSON lines: a header that identifies the campaign (device, driver, mode, probes and their sources), then
results. The same command finds it again and goes on; another command's journal is left alone. A lock keeps two
campaigns off one GPU.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.judge import Result
from gpuprobe.resources import user_folder
from gpuprobe.run_files import measurement_from, rejection_from, series_from


def state_dir() -> Path:
    """Where journals and finished runs live: $GPUPROBE_STATE, $XDG_STATE_HOME/gpuprobe or ~/.local/state/gpuprobe."""
    return user_folder("GPUPROBE_STATE", "XDG_STATE_HOME", ".local/state")


class Journal:
    """Results of a campaign that is under way; ``finished`` holds those of earlier, interrupted processes."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._identity = json.loads(json.dumps(identity))
        self.header: dict[str, Any] = {}
        self.finished: dict[str, Result] = {}
        with _mapped(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._read()
            self._file = path.open("ab" if self.header else "wb")

    def start(self, header: Mapping[str, Any]) -> None:
        """Write the header of a new campaign; nothing where an earlier process's is being continued."""
        if not self.header:
            self.header = dict(header)
            self._append({"identity": self._identity, "header": self.header})

    def add(self, result: Result) -> None:
        """Append a finished probe and flush it to disk."""
        self.finished[result.probe] = result
        self._append(asdict(result))

    def close(self, *, remove: bool) -> None:
        """Close the file, and remove it where the campaign is over."""
        self._file.close()
        if remove:
            self.path.unlink(missing_ok=True)

    def _append(self, line: Mapping[str, Any]) -> None:
        with _mapped(self.path):
            self._file.write(json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _read(self) -> None:
        """Take over what an interrupted process of the same campaign left; a torn line and all after it is cut off."""
        if not self.path.is_file():
            return
        whole = 0
        for line in self.path.read_bytes().splitlines(keepends=True):
            try:
                document = json.loads(line) if line.endswith(b"\n") else {}
                if not self.header and document.get("identity") != self._identity:
                    return
                self._take(document)
            except (ValueError, KeyError, TypeError, AttributeError):
                break
            whole += len(line)
        with self.path.open("r+b") as file:
            file.truncate(whole)

    def _take(self, document: Mapping[str, Any]) -> None:
        if not self.header:
            self.header = dict(document["header"])
            return
        result = _result(document)
        self.finished[result.probe] = result


def _result(document: Mapping[str, Any]) -> Result:
    return Result(
        probe=document["probe"],
        measurements=tuple(measurement_from(row) for row in document["measurements"]),
        series=tuple(series_from(row) for row in document["series"]),
        rejections=tuple(rejection_from(row) for row in document["rejections"]),
    )


def digest(text: str) -> str:
    """Short SHA-256 of a text, for file names and identities."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path``; GpuprobeError where another process does. The system lets go of it at our end."""
    import fcntl  # noqa: PLC0415 - not on Windows, where the rest of gpuprobe still works

    with _mapped(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)  # what a buffer holds would fail again as the file is closed
    with file:
        with _mapped(path):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise GpuprobeError(
                    f"another gpuprobe (pid {file.read().decode().strip() or 'unknown'}) is measuring {what}",
                    "wait for it, or name another GPU with --device",
                    Exit.MACHINE_LACKS,
                ) from error
            file.truncate(0)
            file.write(str(os.getpid()).encode())
        yield


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GpuprobeError(
            f"cannot keep a journal at {path}: {error.strerror or error}",
            "free space, or set GPUPROBE_STATE to a folder that can be written",
            Exit.MACHINE_LACKS,
        ) from error
