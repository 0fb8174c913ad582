"""From a sample of the power sensors under a switched load to what each sensor does."""

from __future__ import annotations

from collections.abc import Mapping

from gpuprobe.energy.sensor import CONTAMINATED_S, Sensor, Signal, changes_of, characterise, held_energy, mean_powers
from gpuprobe.errors import GpuprobeError
from gpuprobe.estimate import Estimate, Point, Round
from gpuprobe.record import Sample

SENSORS = ("counter", "instant", "average")
"""The total energy counter (its steps as powers), and NVML's power fields 186 and 185."""


def busy_stretches(values: Mapping[str, float]) -> list[tuple[float, float]]:
    """When the load was on, as a sample keeps it: ``load_n``, then ``load_on00`` and ``load_off00`` onwards."""
    return [(values[f"load_on{i:02d}"], values[f"load_off{i:02d}"]) for i in range(int(values.get("load_n", 0)))]


def load_columns(busy: list[tuple[float, float]]) -> dict[str, float]:
    """The opposite of ``busy_stretches``."""
    columns = {"load_n": float(len(busy))}
    for i, (on, off) in enumerate(busy):
        columns |= {f"load_on{i:02d}": on, f"load_off{i:02d}": off}
    return columns


def sensor_of(values: Mapping[str, float], name: str) -> Sensor | None:
    """What the sensor ``name`` of a sample does; None where it hardly moved."""
    changes = changes_of(values, name)
    if name == "counter":
        changes = mean_powers(changes)
    changes = [tick for tick in changes if tick.at_s >= CONTAMINATED_S]
    before = -10.0  # nothing ran just before the watch began
    signal = Signal.of_load(busy_stretches(values), before, values.get("watched_s", 0.0))
    try:
        return characterise(changes, signal)
    except GpuprobeError:
        return None


def estimate(round_: Round) -> list[Estimate]:
    """period, window and delay of every sensor in s; how far the held instant power and the counter agree."""
    return [found for point, sample in round_.items() for found in _of_sample(point, sample)]


def _of_sample(point: Point, sample: Sample) -> list[Estimate]:
    found = []
    for name in SENSORS:
        sensor = sensor_of(sample.values, name)
        if sensor is None:
            continue
        params = {"SENSOR": name}
        numbers = {"period": sensor.period_s, "window": sensor.window.value, "delay": sensor.delay_s}
        found += [Estimate(quantity, params, "s", value, sample) for quantity, value in numbers.items()]
    steps, held = changes_of(sample.values, "counter"), changes_of(sample.values, "instant")
    if len(steps) > 2 and held:
        counted_j = steps[-1].value - steps[0].value
        held_j = held_energy(held, steps[0].at_s, steps[-1].at_s)
        found.append(Estimate("agreement", {"SENSOR": "instant"}, "ratio", held_j / counted_j, sample))
    return found
