"""Power sensors made of a formula, read by polls: what the analysis must find is known."""

from __future__ import annotations

import random
from dataclasses import dataclass

from gpuprobe.energy.sensor import Signal

Polls = list[tuple[float, float]]


@dataclass(frozen=True)
class Made:
    """Every ``period_s`` it shows ``offset + gain x`` the mean over ``window_s`` that ended ``lag_s`` ago."""

    period_s: float
    window_s: float
    lag_s: float = 0.0
    gain: float = 250.0
    offset: float = 70.0
    phase_s: float = 0.013

    def reading(self, signal: Signal, at_s: float) -> float:
        """What it shows from ``at_s`` on."""
        import numpy as np

        end = np.array([at_s - self.lag_s])
        return self.offset + self.gain * float(signal.mean(end - self.window_s, end)[0])

    def polls(self, signal: Signal, end_s: float, every_s: float = 0.002, noise_w: float = 0.3, seed: int = 1) -> Polls:
        """Readings as a program sees them that polls about every ``every_s``."""
        source = random.Random(seed)
        now, shown, beat, found = 0.0, self.offset, -1, []
        while now < end_s:
            latest = int((now - self.phase_s) // self.period_s)
            if latest != beat:
                beat = latest
                shown = self.reading(signal, self.phase_s + beat * self.period_s) + source.gauss(0, noise_w)
            found.append((now, shown))
            now += every_s * source.uniform(0.5, 1.5)
        return found


def counter_polls(
    signal: Signal, end_s: float, period_s: float = 0.1, gain: float = 250.0, offset: float = 70.0
) -> Polls:
    """Polls of an energy counter that sees all of a load of ``gain`` W over ``offset`` W at rest."""
    import numpy as np

    found, now = [], 0.0
    while now < end_s:
        beat = (now // period_s) * period_s
        busy = float(signal.mean(np.array([0.0]), np.array([max(beat, 1e-9)]))[0]) * beat
        found.append((now, offset * beat + gain * busy))
        now += 0.0015
    return found
