"""A thread that polls NVML, so that clock, power and temperature stand beside each sample without slowing it."""

from __future__ import annotations

import threading

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.nvml import Nvml, Reading

PERIOD_S = 0.02


class Monitor:
    """Polls a GPU every 20 ms until closed; the sensors themselves tick every 20 to 100 ms."""

    def __init__(self, nvml: Nvml) -> None:
        self._nvml = nvml
        self._latest = nvml.read()
        self._error: GpuprobeError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="gpuprobe-nvml", daemon=True)
        self._thread.start()

    def latest(self) -> Reading:
        """The newest reading; the error of the thread where it failed: an old reading must not stand for a new one."""
        if self._error is not None:
            raise self._error
        return self._latest

    def close(self) -> None:
        """Stop polling."""
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(PERIOD_S):
            try:
                self._latest = self._nvml.read()
            except GpuprobeError as error:
                self._error = error
                return
