"""Power, energy, clock and temperature of every GPU while a program runs, polled by the recording process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.nvml import Nvml, Reading, devices

PERIOD_S = 0.05
"""Half of the 100 ms at which the sensors of an H100 tick, so that no tick is missed."""
QUANTITIES = ("power_w", "power_average_w", "energy_j", "sm_clock_hz", "mem_clock_hz", "temperature_c")


class Sensors(Protocol):
    """The part of Nvml that is polled."""

    def read(self, clock: Callable[[], float]) -> Reading:
        """One poll of every sensor."""

    def close(self) -> None:
        """Let go of the device."""


@dataclass(frozen=True)
class PowerLog:
    """Polls of one GPU, their times in seconds of Unix time; ``index`` is NVML's."""

    uuid: str
    index: int
    readings: tuple[Reading, ...]


class PowerRecorder:
    """Polls GPUs, a thread each, while its context is open. ``problem`` says why there is nothing to poll."""

    def __init__(self, sensors: dict[tuple[str, int], Sensors], period_s: float = PERIOD_S, problem: str = "") -> None:
        self.problem = problem
        self._sensors = sensors
        self._period_s = period_s
        self._readings: dict[tuple[str, int], list[Reading]] = {key: [] for key in sensors}
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._poll, args=(key,), daemon=True) for key in sensors]

    @classmethod
    def of_this_machine(cls, period_s: float = PERIOD_S) -> Self:
        """A recorder of every GPU that NVML shows; of none where there is no driver."""
        opened: dict[tuple[str, int], Sensors] = {}
        try:
            for device in devices():
                opened[device.uuid, device.index] = Nvml(device.index)
        except GpuprobeError as error:
            return cls(opened, period_s, error.message)
        return cls(opened, period_s)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        for sensors in self._sensors.values():
            sensors.close()

    def logs(self) -> tuple[PowerLog, ...]:
        """What was polled so far."""
        return tuple(PowerLog(uuid, index, tuple(read)) for (uuid, index), read in self._readings.items())

    def _poll(self, key: tuple[str, int]) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            try:
                self._readings[key].append(self._sensors[key].read(time.time))
            except GpuprobeError as error:  # the GPU fell off the bus: the program will say so too
                self.problem = error.message
                return
            due += self._period_s
            self._stop.wait(max(0.0, due - time.monotonic()))
