"""A thread that polls NVML while work runs, and what the log says about a stretch of time."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median
from typing import Protocol

from gpuprobe.gpu.gemm_timer import Condition
from gpuprobe.gpu.nvml import Reading


class Sensors(Protocol):
    """The part of Nvml that is polled."""

    @property
    def energy_j(self) -> float | None:
        """Energy since the driver was loaded, in J; moves in ticks."""

    def read(self) -> Reading:
        """One poll of every sensor."""


class SensorLog:
    """Polls every ``period_s``; between ``start_energy`` and ``stop_energy`` the energy counter also every 2 ms."""

    def __init__(
        self, sensors: Sensors, period_s: float = 0.02, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._sensors, self._period_s, self._clock = sensors, period_s, clock
        self._readings: deque[Reading] = deque(maxlen=4096)
        self._energy: deque[tuple[float, float]] = deque(maxlen=16384)
        self._fast = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="gpuprobe-sensors", daemon=True)

    def start(self) -> None:
        """Begin polling."""
        self._readings.append(self._sensors.read())
        self._thread.start()

    def close(self) -> None:
        """End polling."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def start_energy(self) -> None:
        """Poll the energy counter closely from now on."""
        self._energy.clear()
        self._fast.set()

    def stop_energy(self) -> None:
        """Back to the slow pace."""
        self._fast.clear()

    def _poll(self) -> None:
        due = self._clock()
        while not self._stop.is_set():
            if self._clock() >= due:
                self._readings.append(self._sensors.read())
                due = self._clock() + self._period_s
            if self._fast.is_set():
                energy_j = self._sensors.energy_j
                if energy_j is not None:
                    self._energy.append((self._clock(), energy_j))
                self._stop.wait(0.002)
            else:
                self._stop.wait(max(0.0, min(self._period_s, due - self._clock())))

    def condition(self, begin_s: float, end_s: float) -> Condition:
        """Medians over the readings inside the stretch, or the reading nearest to its middle; throttle bits joined."""
        readings = tuple(self._readings)
        inside = [reading for reading in readings if begin_s <= reading.end_s and reading.begin_s <= end_s]
        if not inside:
            middle = (begin_s + end_s) / 2
            inside = [min(readings, key=lambda reading: abs(reading.end_s - middle))]
        bits = [reading.throttle for reading in inside if reading.throttle is not None]
        joined = 0
        for bit in bits:
            joined |= bit
        return Condition(
            sm_clock_hz=_median([reading.sm_clock_hz for reading in inside]),
            power_w=_median([reading.power_w for reading in inside]),
            temperature_c=_median([reading.temperature_c for reading in inside]),
            throttle=joined if bits else None,
        )

    def power_w(self, begin_s: float, end_s: float) -> float | None:
        """Mean power in W between the first and the last tick of the energy counter inside the stretch."""
        return power_between_ticks(tuple(self._energy), begin_s, end_s)


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def power_between_ticks(polls: tuple[tuple[float, float], ...], begin_s: float, end_s: float) -> float | None:
    """Energy between the first and last tick inside the stretch over the time between them, in W; None below two ticks.

    A tick is placed half-way between the poll that still showed the old count and the one that showed the new.
    """
    pairs = itertools.pairwise(polls)
    ticks = [((before + now) / 2, energy) for (before, old), (now, energy) in pairs if energy != old]
    inside = [tick for tick in ticks if begin_s <= tick[0] <= end_s]
    if len(inside) < 2:
        return None
    (first_s, first_j), (last_s, last_j) = inside[0], inside[-1]
    return (last_j - first_j) / (last_s - first_s)
