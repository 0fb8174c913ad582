"""The one root of errors a user can meet: what failed, why, and the command that helps."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Process exit codes of every gpuprobe command."""

    DONE = 0
    CHECK_FAILED = 1
    WRONG_USE = 2
    MACHINE_LACKS = 3
    INTERRUPTED = 130


class GpuprobeError(Exception):
    """An error shown to the user as one line: ``message`` (what and why) and ``hint`` (the remedy).

    ``exit_code`` is what the command exits with: 2 for wrong use (the default), 3 where the machine
    lacks something, 1 where a check failed.
    """

    def __init__(self, message: str, hint: str = "", exit_code: Exit = Exit.WRONG_USE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
