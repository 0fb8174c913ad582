"""The journal of a campaign: JSON lines, synced every second, so that a kill loses at most the last second."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from gpuprobe.errors import Exit, GpuprobeError

Record = dict[str, Any]
SCHEMA = 1
_SYNC_EVERY_S = 1.0


def read_journal(path: Path) -> list[Record]:
    """Every whole record; a torn last line, as a kill leaves it, is dropped. Empty where there is no file."""
    if not path.exists():
        return []
    return list(_records(path, path.read_bytes()))


def _records(path: Path, data: bytes) -> Iterator[Record]:
    lines = data.split(b"\n")
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last newline is torn, or empty
        try:
            record = json.loads(line)
        except ValueError as error:
            raise GpuprobeError(f"{path}, line {number} is damaged", "remove that line, or use another -o") from error
        if not isinstance(record, dict) or record.get("kind") not in ("session", "row", "kernels"):
            raise GpuprobeError(f"{path}, line {number} is no record of a sweep", "use another -o")
        yield record


class Journal:
    """Appends records to ``path``; a context manager. A torn last line is cut off first."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab+")
        except OSError as error:
            raise GpuprobeError(
                f"cannot write {path}: {error.strerror}", "choose another path with -o", Exit.MACHINE_LACKS
            ) from error
        self._cut_torn_line()
        self._synced_s = clock()

    def _cut_torn_line(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def append(self, record: Mapping[str, object]) -> None:
        """Write one record; on disk within a second."""
        self._file.write(json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n")
        if self._clock() - self._synced_s >= _SYNC_EVERY_S:
            self.sync()

    def sync(self) -> None:
        """Put everything written so far on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._synced_s = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sync()
        self._file.close()
