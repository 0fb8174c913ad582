"""The board: a page of memory shared by judge and worker, with the gate, the done flag and the witnesses.

Words are 32-bit little-endian, each on a cache line of its own. A batch has a sequence number: the gate is open for it
when the gate word holds that number, and the batch is over when the done word does.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final, Self

GATE_AT: Final = 0
DONE_AT: Final = 64
LOAD_AT: Final = 128
LOADED_AT: Final = 192
WITNESS_AT: Final = 4096
LARGEST_SEQUENCE: Final = 65535
WITNESS_BYTES: Final = 4 << 20
POISON: Final = 0xFF
"""Byte the witnesses hold before a batch: NaN in every floating type, -1 in every signed one."""


class Board:
    """One shared page range, backed by a file both sides map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, WITNESS_AT + WITNESS_BYTES)
            self.memory = mmap.mmap(descriptor, WITNESS_AT + WITNESS_BYTES)
        finally:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Unmap; the file stays with whoever made its folder."""
        self.memory.close()

    def gate(self) -> int:
        """Sequence number of the batch whose gate is open."""
        return self._word(GATE_AT)

    def done(self) -> int:
        """Sequence number of the batch that ended last."""
        return self._word(DONE_AT)

    def open_gate(self, sequence: int) -> None:
        """Let batch ``sequence`` run."""
        struct.pack_into("<I", self.memory, GATE_AT, sequence)

    def set_done(self, sequence: int) -> None:
        """Say that batch ``sequence`` is over."""
        struct.pack_into("<I", self.memory, DONE_AT, sequence)

    def load(self) -> int:
        """Sequence number of the batch whose staged inputs are complete."""
        return self._word(LOAD_AT)

    def loaded(self) -> int:
        """Sequence number of the batch whose staged inputs the worker has taken over."""
        return self._word(LOADED_AT)

    def ask_load(self, sequence: int) -> None:
        """Let the worker take over the staged inputs of batch ``sequence``."""
        struct.pack_into("<I", self.memory, LOAD_AT, sequence)

    def set_loaded(self, sequence: int) -> None:
        """Say that the staged inputs of batch ``sequence`` are in place."""
        struct.pack_into("<I", self.memory, LOADED_AT, sequence)

    def poison(self, size: int) -> None:
        """Wipe ``size`` bytes of witnesses."""
        self.memory[WITNESS_AT : WITNESS_AT + size] = bytes([POISON]) * size

    def witnesses(self, size: int) -> bytes:
        """A copy of the first ``size`` bytes of witnesses."""
        return bytes(self.memory[WITNESS_AT : WITNESS_AT + size])

    def _word(self, at: int) -> int:
        word: int = struct.unpack_from("<I", self.memory, at)[0]
        return word
