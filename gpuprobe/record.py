"""What gpuprobe stores: devices, environments, measurements and runs, as frozen data (as JSON: ``run_files``).

SI base units inside (seconds, bytes, joules, hertz); formatting belongs to the edge. Raw samples are always kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from gpuprobe import tabular
from gpuprobe.errors import GpuprobeError
from gpuprobe.units import quantity

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

Origin = Literal["driver", "datasheet", "measured", "published"]
Source = Literal["live", "replay", "synthetic"]
Param = int | float | str
Params = Mapping[str, Param]


@dataclass(frozen=True)
class Number:
    """One number of a device: its value in SI units, where it came from, and the source to look it up in."""

    value: float
    origin: Origin
    source: str


@dataclass(frozen=True)
class DeviceSpec:
    """One GPU product (or the GPU at hand): every number in ``numbers`` carries its origin.

    ``architecture`` is the compute capability as a compile target without suffix (``sm_90``). Keys of ``numbers``
    are SI (``boost_clock_hz``, ``memory_bytes``, ``dram_bandwidth_bytes_per_s``, ``tensor_f16_flop_per_s``).
    """

    name: str
    product: str
    architecture: str
    chip: str
    numbers: Mapping[str, Number]
    nvml_names: tuple[str, ...] = ()

    def get(self, key: str) -> float | None:
        """Value of a number in SI units, or None where the device does not state it."""
        number = self.numbers.get(key)
        return None if number is None else number.value

    def __getitem__(self, key: str) -> float:
        number = self.numbers.get(key)
        if number is None:
            raise GpuprobeError(
                f"device '{self.name}' states no '{key}'", f"add it with a source to devices/{self.name}.toml"
            )
        return number.value

    def with_numbers(self, numbers: Mapping[str, Number]) -> DeviceSpec:
        """A copy in which ``numbers`` replace or extend the present ones."""
        return replace(self, numbers={**self.numbers, **numbers})


@dataclass(frozen=True)
class Environment:
    """What surrounded a run: versions, limits and other users of the GPU. Empty strings where not known."""

    driver: str = ""
    cuda_driver: str = ""
    gpuprobe: str = ""
    python: str = ""
    platform: str = ""
    commit: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    compiler: str = ""
    power_limit_w: float | None = None
    clocks_policy: str = ""
    max_sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    ecc: bool | None = None
    mig: bool | None = None
    persistence: bool | None = None
    other_processes: int | None = None
    temperature_c: float | None = None
    gpu_uuid: str = ""  # hashed
    cpu: str = ""


def significant(value: float) -> float:
    """``value`` to nine significant digits: beyond any clock's resolution, and half the bytes in a file."""
    return float(f"{value:.9g}")


@dataclass(frozen=True)
class Sample:
    """One timed execution: what the kernel's own clocks said, and the state of the device just after it.

    ``cycles`` and ``cycles_max``: median and maximum over blocks of the timed region, SM cycles (0 if the host timed);
    ``seconds``: first begin to last end over all blocks (globaltimer), or host seconds; ``event_s``: CUDA events around
    the launch; ``sm_clock_hz``: median over blocks of cycles / globaltimer; ``power_w``, ``temperature_c``,
    ``nvml_sm_clock_hz`` and ``throttle`` (reason bits) from NVML; ``at_s``: seconds since the run began; ``sm``: the SM
    of block 0. ``values`` holds what a probe adds.
    """

    cycles: float
    cycles_max: float
    seconds: float
    event_s: float
    sm_clock_hz: float
    power_w: float = 0.0
    temperature_c: float = 0.0
    nvml_sm_clock_hz: float = 0.0
    throttle: float = 0.0
    at_s: float = 0.0
    sm: float = 0.0
    values: Mapping[str, float] = field(default_factory=dict)

    def rounded(self) -> Sample:
        """The sample with every number to nine significant digits, as files hold it."""
        columns = {name: significant(getattr(self, name)) for name in SAMPLE_COLUMNS}
        return Sample(**columns, values={name: significant(value) for name, value in self.values.items()})


SAMPLE_COLUMNS = tuple(name for name in Sample.__dataclass_fields__ if name != "values")


@dataclass(frozen=True)
class Series:
    """Raw samples of one configuration of one probe, column by column (the fields of Sample), in the order taken.

    ``kernel`` is the SHA-256 of the cubin that ran, ``label`` the SASS gate's word on it (native, emulated).
    """

    probe: str
    params: Params
    kernel: str
    label: str
    columns: Mapping[str, tuple[float, ...]]

    def __len__(self) -> int:
        return max((len(column) for column in self.columns.values()), default=0)

    @classmethod
    def of(cls, probe: str, params: Params, kernel: str, label: str, samples: Iterable[Sample]) -> Series:
        """Series of ``samples``; a value that one sample lacks is 0, columns of zeros only are left out."""
        rows = list(samples)
        extra = sorted({name for row in rows for name in row.values})
        columns = {name: tuple(float(getattr(row, name)) for row in rows) for name in SAMPLE_COLUMNS}
        columns |= {name: tuple(float(row.values.get(name, 0.0)) for row in rows) for name in extra}
        return cls(probe, params, kernel, label, {name: column for name, column in columns.items() if any(column)})

    def samples(self) -> tuple[Sample, ...]:
        """The samples again, row by row."""
        names = [name for name in self.columns if name not in SAMPLE_COLUMNS]
        return tuple(
            Sample(
                **{name: self.columns[name][row] if name in self.columns else 0.0 for name in SAMPLE_COLUMNS},
                values={name: self.columns[name][row] for name in names},
            )
            for row in range(len(self))
        )


@dataclass(frozen=True)
class Measurement:
    """One measured quantity with its interval (95 % unless said), samples, clock, power and flags.

    ``unit`` is SI or a cycle unit (``cycle``, ``B/s``, ``FLOP/s``, ``s``, ``FMA/cycle/SM``, ``B/cycle/SM``).
    ``limit`` is the physical bound in the same unit where one is known. Flags: ``throttled``, ``unstable``,
    ``few_samples``, ``drift``, ``shared_gpu``, ``replayed``, ``emulated``,
    ``nvml_clock_differs`` (NVML's clock is more than 2 % from the kernel's own, which is the one that is used).
    """

    name: str
    quantity: str
    params: Params
    unit: str
    samples: tuple[float, ...]
    value: float
    low: float
    high: float
    sm_clock_hz: float | None = None
    power_w: float | None = None
    limit: float | None = None
    flags: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, tuple[tuple[str, Param], ...]]:
        """Identity across runs: name, quantity and the sorted parameters."""
        return self.name, self.quantity, tuple(sorted(self.params.items()))

    @property
    def title(self) -> str:
        """Name, quantity and parameters in one line, for messages."""
        params = ", ".join(f"{name}={value}" for name, value in sorted(self.params.items()))
        return f"{self.name} {self.quantity}" + (f" ({params})" if params else "")

    @property
    def n(self) -> int:
        """Number of samples behind the value."""
        return len(self.samples)


@dataclass(frozen=True)
class Rejection:
    """A probe that gave no number, and why (a failed SASS gate, a broken bound, a wrong result).

    ``left_out``: nothing is wrong, the point is not there (throttled, not in a recording); what the others give stands.
    """

    probe: str
    params: Params
    reason: str
    left_out: bool = False


@dataclass(frozen=True)
class Run:
    """One run of the microbenchmarks on one device: one JSON file (gzip by suffix)."""

    run_id: str
    started_at: str
    source: Source
    mode: str
    device: DeviceSpec
    environment: Environment
    measurements: tuple[Measurement, ...] = ()
    series: tuple[Series, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    warnings: tuple[str, ...] = ()
    duration_s: float | None = None
    schema: int = SCHEMA

    def to_frame(self) -> pd.DataFrame:
        """The measurements as a DataFrame: a row each, a column for each parameter; needs pandas."""
        return tabular.frame(
            {
                **{name: getattr(row, name) for name in _FRAME[:2]},
                **row.params,
                **{name: getattr(row, name) for name in _FRAME[2:]},
                "flags": " ".join(row.flags),
            }
            for row in self.measurements
        )

    def _repr_html_(self) -> str:
        """The measurements as a notebook shows them."""
        title = (
            f"{self.device.product}, driver {self.environment.driver}, {self.started_at[:10]}, {self.source}: "
            f"{len(self.measurements)} measurements, {len(self.rejections)} rejections"
        )
        rows = [
            (
                row.name,
                row.quantity,
                " ".join(f"{name}={value}" for name, value in row.params.items()),
                quantity(row.value, row.unit),
                f"{quantity(row.low, row.unit)} to {quantity(row.high, row.unit)}",
                " ".join(row.flags),
            )
            for row in self.measurements
        ]
        return tabular.html(title, ("probe", "quantity", "parameters", "value", "95 %", "flags"), rows)


_FRAME = ("name", "quantity", "unit", "value", "low", "high", "n", "sm_clock_hz", "power_w", "limit")
"""Columns of ``Run.to_frame``; those of the parameters stand after the second."""
