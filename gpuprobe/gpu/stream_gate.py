"""A gate on a CUDA stream: what is queued behind it runs when the host opens it.

The stream waits for a word in memory by a stream memory operation, in page-locked host memory where the system allows
that, else in device memory that a second stream writes to.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from typing import Any, Final

import torch

from gpuprobe.kernel_eval.board import DONE_AT, GATE_AT, LARGEST_SEQUENCE, WITNESS_AT, WITNESS_BYTES
from gpuprobe.kernel_eval.latch import Latch

_WAIT_EQUAL: Final = 1
_TRIAL_S: Final = 1.0
_CURRENT_STREAM = torch.cuda.current_stream


def _wait_until(reached: Callable[[], bool]) -> None:
    """Poll for at most ``_TRIAL_S``."""
    end_s = time.monotonic() + _TRIAL_S
    while not reached() and time.monotonic() < end_s:
        time.sleep(0)


class StreamGate:
    """Gate, done word and witnesses of one process, in page-locked memory. ``works``: the stream obeys the gate."""

    def __init__(self, driver: Any, device: Any) -> None:
        self._wait = getattr(driver, "cuStreamWaitValue32_v2", None) or driver.cuStreamWaitValue32
        self.pinned = torch.zeros(WITNESS_AT + WITNESS_BYTES, dtype=torch.uint8, pin_memory=True)
        self._words = self.pinned.view(torch.int32)
        address = self.pinned.data_ptr()
        self._gate_word = ctypes.c_uint32.from_address(address + GATE_AT)
        self._done_word = ctypes.c_uint32.from_address(address + DONE_AT)
        self._device_gate = torch.zeros(1, dtype=torch.int32, device=device)
        self._sequences = torch.arange(LARGEST_SEQUENCE + 1, dtype=torch.int32, device=device)
        self._beside = torch.zeros(1, dtype=torch.int32, device=device)
        self._opener = torch.cuda.Stream(device)
        self.latch = Latch(self._open)
        self.kind, self.works = "", False
        for kind, pointer in (("host", address + GATE_AT), ("device", self._device_gate.data_ptr())):
            self._pointer, self.kind = pointer, kind
            if self._trial():
                self.works = True
                break
        self._gate_word.value = self._done_word.value = 0

    def _trial(self) -> bool:
        """Whether the stream stands still behind a closed gate and runs on once it is open.

        It stood if a copy that was queued later elsewhere has run meanwhile: on a busy device time alone says nothing.
        """
        try:
            self.queue_wait(1)
        except RuntimeError:
            return False
        self.queue_done(1)
        time.sleep(0.01)
        with torch.cuda.stream(self._opener):
            self._beside.copy_(self._words[:1], non_blocking=True)
        _wait_until(self._opener.query)
        stood = self._done_word.value != 1
        self._open(1)
        _wait_until(lambda: self._done_word.value == 1)
        self._reset()
        return stood and self._done_word.value == 1

    def _reset(self) -> None:
        torch.cuda.synchronize()
        self._gate_word.value = 0
        self._device_gate.zero_()
        torch.cuda.synchronize()

    def queue_wait(self, sequence: int) -> None:
        """Make the current stream wait until the gate is open for ``sequence``."""
        stream = ctypes.c_void_p(_CURRENT_STREAM().cuda_stream)
        status = self._wait(
            stream, ctypes.c_uint64(self._pointer), ctypes.c_uint32(sequence), ctypes.c_uint(_WAIT_EQUAL)
        )
        if status != 0:
            raise RuntimeError(f"cuStreamWaitValue32 failed with CUDA driver error {status}")

    def queue_done(self, sequence: int) -> None:
        """Make the current stream write the done word."""
        self._words[DONE_AT // 4 : DONE_AT // 4 + 1].copy_(self._sequences[sequence : sequence + 1], non_blocking=True)

    def _open(self, sequence: int) -> None:
        """Open the gate for ``sequence``; a batch's is opened through the latch."""
        self._gate_word.value = sequence
        if self.kind == "device":
            with torch.cuda.stream(self._opener):
                self._device_gate.copy_(self._words[GATE_AT // 4 : GATE_AT // 4 + 1], non_blocking=True)

    def wait_done(self, sequence: int) -> None:
        """Spin until the stream has written the done word; the judge's limits end a wait in vain."""
        word = self._done_word
        while word.value != sequence:
            pass

    def witnesses(self, size: int) -> bytes:
        """The first ``size`` bytes of witnesses."""
        return ctypes.string_at(self.pinned.data_ptr() + WITNESS_AT, size)
