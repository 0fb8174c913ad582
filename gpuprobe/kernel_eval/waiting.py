"""A worker's wait for the judge."""

from __future__ import annotations

import time

from gpuprobe.kernel_eval.board import Board


def wait_for(board: Board, sequence: int) -> None:
    """Spin until the judge opens the gate of a batch; the judge's limits end a wait in vain."""
    spins = 0
    while board.gate() != sequence:
        spins += 1
        if spins % 4096 == 0:
            time.sleep(0)
