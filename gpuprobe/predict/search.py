"""A coordinate search over a machine's numbers: factors up and down, coarse to fine, as long as a loss falls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from gpuprobe.predict.machine import Machine

_FACTORS: Final = (1.3, 1.1, 1.03)
_LEAST_GAIN: Final = 1e-5


def searched(machine: Machine, names: Sequence[str], loss: Callable[[Machine], float]) -> Machine:
    """The machine with the numbers ``names`` set to what makes the loss least."""
    best = loss(machine)
    for factor in _FACTORS:
        moved = True
        while moved:
            moved = False
            for name in names:
                for scale in (factor, 1 / factor):
                    candidate = replace(machine, **{name: getattr(machine, name) * scale})
                    if (value := loss(candidate)) < best - _LEAST_GAIN:
                        machine, best, moved = candidate, value, True
    return machine
