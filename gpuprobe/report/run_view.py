"""A Run as its sections see it: rows by quantity, the best of searched grids, published values beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from gpuprobe import arch, device
from gpuprobe.arch import Architecture
from gpuprobe.domains import orientation
from gpuprobe.errors import GpuprobeError
from gpuprobe.probe import Probe, discover
from gpuprobe.profile import DeviceProfile
from gpuprobe.profile_of_run import profile_of
from gpuprobe.published import PublishedRow, against_published
from gpuprobe.record import Measurement, Params, Run, Series
from gpuprobe.roofline import Roofline, roofline_of

Key = tuple[object, ...]


class RunView:
    """A Run with what the probes know about it. Probes that this version lacks have no searched axes."""

    def __init__(self, run: Run, probes: Sequence[Probe] | None = None) -> None:
        self.run = run
        self._probes: Mapping[str, Probe] = {probe.name: probe for probe in (discover() if probes is None else probes)}

    @cached_property
    def architecture(self) -> Architecture | None:
        """The row of the run's compute capability; None where this version lacks it."""
        try:
            return arch.parse(self.run.device.architecture)
        except GpuprobeError:
            return None

    @cached_property
    def profile(self) -> DeviceProfile:
        """The run's numbers by name: peaks, bandwidths, latencies, launch costs, energies."""
        return profile_of(self.run)

    @cached_property
    def roofline(self) -> Roofline | None:
        """Ceilings and slopes derived from the run; None where it measured no bandwidth or no rate."""
        found = roofline_of(self.profile)
        origins = [one.rate.origin for one in found.ceilings] + [one.rate.origin for one in found.slopes]
        return found if found.ceilings and found.slopes and "measured" in origins else None

    @cached_property
    def best(self) -> tuple[Measurement, ...]:
        """Of rows that differ only in axes their probe searches, the one of highest rate or least cost."""
        return tuple(best(self.run.measurements, self._probes))

    @cached_property
    def published(self) -> tuple[PublishedRow, ...]:
        """Published values beside the best rows, this product's before others of the chip."""
        values = {
            probe.name: [value.beyond(probe.best_over) for value in probe.published] for probe in self._probes.values()
        }
        devices = {name: device.load(name) for name in device.names()}
        chips = {name: spec.chip for name, spec in devices.items()}
        return against_published(replace(self.run, measurements=self.best), values, chips, devices)

    def published_for(self, row: Measurement) -> PublishedRow | None:
        """The first published value beside a row, None without one."""
        return self._published_by_key.get(row.key)

    @cached_property
    def _published_by_key(self) -> dict[Key, PublishedRow]:
        found: dict[Key, PublishedRow] = {}
        for row in self.published:
            found.setdefault((row.name, row.quantity, tuple(sorted(row.params.items()))), row)
        return found

    def rows(self, name: str, quantity: str) -> list[Measurement]:
        """Measurements of one quantity of one probe."""
        return [row for row in self.run.measurements if row.name == name and row.quantity == quantity]

    def best_in(self, unit: str) -> list[Measurement]:
        """Best rows measured in ``unit``."""
        return [row for row in self.best if row.unit == unit]

    def one(self, name: str, quantity: str, **params: object) -> Measurement | None:
        """The best row of a quantity whose parameters hold ``params``; None where there is none."""
        fitting = (row for row in self.best if row.name == name and row.quantity == quantity)
        return next((row for row in fitting if params.items() <= dict(row.params).items()), None)

    def series(self, name: str) -> list[Series]:
        """Raw samples of one probe."""
        return [one for one in self.run.series if one.probe == name]

    def group(self, name: str) -> str:
        """The folder of a probe (compute, memory …); empty for one that this version lacks."""
        return self._probes[name].group if name in self._probes else ""

    def kept(self, name: str, params: Params) -> Params:
        """Those parameters of a row of probe ``name`` that are not searched."""
        return _kept(self._probes.get(name), params)


def best(measurements: Sequence[Measurement], probes: Mapping[str, Probe]) -> list[Measurement]:
    """Of rows that differ only in axes their probe searches (``best_over``), the one of highest rate or least cost."""
    chosen: dict[Key, Measurement] = {}
    for row in measurements:
        family = sorted(_kept(probes.get(row.name), row.params).items())
        key = (row.name, row.quantity, row.unit, *family)
        held = chosen.get(key)
        if held is None or _better(row, held):
            chosen[key] = row
    return list(chosen.values())


def _kept(probe: Probe | None, params: Params) -> Params:
    searched = probe.best_over if probe else ()
    return {axis: value for axis, value in params.items() if axis not in searched}


def _better(row: Measurement, held: Measurement) -> bool:
    return row.value > held.value if orientation(row.unit) > 0 else row.value < held.value
