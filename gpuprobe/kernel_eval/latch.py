"""A latch that opens the gate of one batch once, from whichever thread gets there first."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from gpuprobe.kernel_eval.board import Board

WATCH_S: Final = 0.02


class Latch:
    """Calls ``open_device`` for the batch that was armed last, once; a thread that comes late opens nothing."""

    def __init__(self, open_device: Callable[[int], None]) -> None:
        self._open_device = open_device
        self._lock = threading.Lock()
        self._armed = 0

    def arm(self, sequence: int) -> None:
        """From now on the gate waits for batch ``sequence``."""
        with self._lock:
            self._armed = sequence

    def open(self, sequence: int) -> bool:
        """Open the gate if it is this batch's and still closed; whether it was."""
        with self._lock:
            if self._armed != sequence:
                return False
            self._armed = 0
            self._open_device(sequence)
            return True

    def watch(self, board: Board, sequence: int) -> None:
        """Pass the judge's gate on from a thread as well: who waits for the device while queueing stands still."""
        self.arm(sequence)

        def look() -> None:
            while self._armed == sequence:
                if board.gate() == sequence:
                    self.open(sequence)
                    return
                time.sleep(WATCH_S)

        threading.Thread(target=look, daemon=True).start()
