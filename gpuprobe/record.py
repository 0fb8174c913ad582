"""What gpuprobe stores: devices, environments, measurements and runs, as frozen data and as JSON.

SI base units inside (seconds, bytes, joules, hertz); formatting belongs to the edge. Raw samples are always kept.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gpuprobe import tabular
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.units import quantity

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
SMALLEST, LARGEST = 1e-30, 1e30

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
    def n(self) -> int:
        """Number of samples behind the value."""
        return len(self.samples)


@dataclass(frozen=True)
class Rejection:
    """A probe that gave no number, and why (a failed SASS gate, a broken bound, a wrong result)."""

    probe: str
    params: Params
    reason: str


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


def to_document(run: Run) -> dict[str, Any]:
    """The JSON document of a Run, as stored and as printed under ``--json`` (``n`` added to each measurement)."""
    document = asdict(run)
    for row, measurement in zip(document["measurements"], run.measurements, strict=True):
        row["n"] = measurement.n
    return {"schema": document.pop("schema"), **document}


def from_document(document: Mapping[str, Any], origin: str = "the document") -> Run:
    """A Run from its JSON document; GpuprobeError where it is damaged or of a later schema."""
    schema = document.get("schema") if isinstance(document, Mapping) else None
    if not isinstance(schema, int):
        raise GpuprobeError(
            f"{origin} is not a gpuprobe run: it has no 'schema' number", "pass a file written by microbench"
        )
    if schema > SCHEMA:
        raise GpuprobeError(
            f"{origin} has schema {schema}; this gpuprobe reads up to {SCHEMA}", "pip install --upgrade gpuprobe"
        )
    if "measurements" in document and "series" not in document:
        raise GpuprobeError(
            f"{origin} holds no raw samples: it is what --json prints",
            "write the run with: gpuprobe microbench -o FILE",
        )
    try:
        return _run(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GpuprobeError(
            f"{origin} is damaged: {type(error).__name__}: {error}", "record it again with: gpuprobe microbench -o FILE"
        ) from error


def _run(document: Mapping[str, Any]) -> Run:
    device = document["device"]
    numbers = {str(key): Number(**_checked(Number, number)) for key, number in device["numbers"].items()}
    names = _texts(device.get("nvml_names", ()))
    return Run(
        **{
            **_checked(Run, document),
            "device": DeviceSpec(**{**_checked(DeviceSpec, device), "numbers": numbers, "nvml_names": names}),
            "environment": Environment(**_checked(Environment, document["environment"])),
            "measurements": tuple(measurement_from(row) for row in document["measurements"]),
            "series": tuple(series_from(row) for row in document["series"]),
            "rejections": tuple(rejection_from(row) for row in document["rejections"]),
            "warnings": _texts(document["warnings"]),
        }
    )


def measurement_from(row: Mapping[str, Any]) -> Measurement:
    """A Measurement from its JSON object; extra keys that readers may meet (``n``, ``published``) are left out."""
    known = _checked(Measurement, row)
    measurement = Measurement(**{**known, "samples": _numbers(row["samples"]), "flags": _texts(row["flags"])})
    if not measurement.low <= measurement.value <= measurement.high:
        raise ValueError(f"{measurement.name}: {measurement.value} is outside its own interval")
    if not SMALLEST < measurement.value < LARGEST:
        raise ValueError(f"{measurement.name}: {measurement.value} {measurement.unit} is no measured quantity")
    return measurement


def rejection_from(row: Mapping[str, Any]) -> Rejection:
    """A Rejection from its JSON object."""
    return Rejection(**_checked(Rejection, row))


def series_from(row: Mapping[str, Any]) -> Series:
    """A Series from its JSON object."""
    columns = {str(name): _numbers(values) for name, values in row["columns"].items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"the columns of {row['probe']} differ in length")
    return Series(**{**_checked(Series, row), "columns": columns})


_JSON_TYPES: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "Origin": (str,),
    "Source": (str,),
    "int": (int,),
    "int | None": (int, type(None)),
    "bool | None": (bool, type(None)),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "Param": (int, float, str),
    "Params": (dict,),
    "Mapping[str, str]": (dict,),
}
"""Annotation of a stored field → what JSON may hold for it; fields of other annotations are read one by one."""

_VALUES = {"Params": "Param", "Mapping[str, str]": "str"}


def _checked(kind: type, row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the dataclass ``kind`` in ``row``, their types checked; keys that later versions added are left out."""
    known = {one.name: str(one.type) for one in fields(kind) if one.name in row}
    for name, annotation in known.items():
        _check(name, annotation, row[name])
    return {name: float(row[name]) if annotation == "float" else row[name] for name, annotation in known.items()}


def _check(name: str, annotation: str, value: Any) -> None:
    """ValueError where JSON's ``value`` does not fit a field's annotation, or is not finite."""
    types = _JSON_TYPES.get(annotation)
    if types is None:
        return
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        raise ValueError(f"{name} is {value!r}")
    if isinstance(value, float):
        _finite(value, name)
    for inner in value.values() if isinstance(value, dict) else ():
        _check(name, _VALUES[annotation], inner)


def _texts(values: Iterable[Any]) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{values!r} is not a list of texts")
    return tuple(values)


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    found = tuple(values)
    if set(map(type, found)) <= {int, float} and all(map(math.isfinite, found)):  # runs hold millions of them
        return tuple(map(float, found))
    return tuple(_finite(value, "sample") for value in found)


def _finite(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} is {value!r}, not a finite number")
    return float(value)


def read_run(path: Path) -> Run:
    """Read a Run file (``.json`` or ``.json.gz``); GpuprobeError where it is missing, damaged or too new."""
    try:
        raw = path.read_bytes()
        text = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
        document = json.loads(text)
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (ValueError, EOFError, zlib.error, RecursionError) as error:
        raise GpuprobeError(
            f"{path} is damaged or not a run file: {error}", "record it again with: gpuprobe microbench -o FILE"
        ) from error
    return from_document(document, str(path))


def write_run(run: Run, path: Path) -> None:
    """Write a Run to ``path`` (gzip for ``.gz``), whole or not at all."""
    write_atomically(path, encode(to_document(run), compress=path.suffix == ".gz"))


def encode(document: Any, *, compress: bool) -> bytes:
    """Compact UTF-8 JSON of ``document``; gzip where asked, without a time stamp: equal runs are equal files."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    return gzip.compress(text, 9, mtime=0) if compress else text


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to a temporary name beside ``path``, flush it to disk and rename; GpuprobeError on any failure."""
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        raise GpuprobeError(
            f"cannot write {path}: {error.strerror or error}",
            "choose another path with -o, or free space",
            Exit.MACHINE_LACKS,
        ) from error
    finally:  # also on Ctrl-C; after the rename there is nothing left to remove
        if temporary:
            Path(temporary).unlink(missing_ok=True)
