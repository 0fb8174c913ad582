"""Runs as JSON documents and in files: what is written can be read again to the bit, and what is damaged is named."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.files import encode, unpacked, write_atomically
from gpuprobe.record import SCHEMA, DeviceSpec, Environment, Measurement, Number, Rejection, Run, Series, Source

if TYPE_CHECKING:
    from msgspec.json import Decoder

SMALLEST, LARGEST = 1e-30, 1e30
"""What a measured quantity can be in SI units; beyond it a file is damaged."""


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
    _check_measurement(measurement)
    return measurement


def _check_measurement(measurement: Measurement) -> None:
    if not measurement.low <= measurement.value <= measurement.high:
        raise ValueError(f"{measurement.name}: {measurement.value} is outside its own interval")
    if not SMALLEST < measurement.value < LARGEST:
        raise ValueError(f"{measurement.name}: {measurement.value} {measurement.unit} is no measured quantity")


def rejection_from(row: Mapping[str, Any]) -> Rejection:
    """A Rejection from its JSON object."""
    return Rejection(**_checked(Rejection, row))


def series_from(row: Mapping[str, Any]) -> Series:
    """A Series from its JSON object."""
    columns = {str(name): _numbers(values) for name, values in row["columns"].items()}
    series = Series(**{**_checked(Series, row), "columns": columns})
    _check_series(series)
    return series


def _check_series(series: Series) -> None:
    if len(set(map(len, series.columns.values()))) > 1:
        raise ValueError(f"the columns of {series.probe} differ in length")


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


@dataclass(frozen=True)
class _Stored:
    """The fields of a Run as its file holds them: nothing may be missing; what ``--json`` prints lacks series."""

    schema: int
    run_id: str
    started_at: str
    source: Source
    mode: str
    device: DeviceSpec
    environment: Environment
    measurements: tuple[Measurement, ...]
    series: tuple[Series, ...]
    rejections: tuple[Rejection, ...]
    warnings: tuple[str, ...]
    duration_s: float | None = None


@cache
def _decoder() -> Decoder[_Stored]:
    import msgspec  # noqa: PLC0415 - not needed to import this module

    return msgspec.json.Decoder(_Stored)


def read_run(path: Path) -> Run:
    """Read a Run file (``.json`` or ``.json.gz``); GpuprobeError where it is missing, damaged or too new."""
    import msgspec  # noqa: PLC0415 - not needed to import this module

    try:
        text = unpacked(path.read_bytes())
        run = _as_written(text)
        return run if run is not None else from_document(msgspec.json.decode(text), str(path))
    except OSError as error:
        raise GpuprobeError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise GpuprobeError(
            f"{path} is damaged or not a run file: {error}", "record it again with: gpuprobe microbench -o FILE"
        ) from error


def _as_written(text: bytes) -> Run | None:
    """The Run of a file as this version writes them, in a quarter of ``from_document``'s time; None of any other."""
    try:
        stored = _decoder().decode(text)
        for measurement in stored.measurements:
            _check_measurement(measurement)
        for series in stored.series:
            _check_series(series)
    except (ValueError, RecursionError):  # from_document says what is wrong, where anything is
        return None
    return Run(**{one.name: getattr(stored, one.name) for one in fields(Run)}) if stored.schema <= SCHEMA else None


def write_run(run: Run, path: Path) -> None:
    """Write a Run to ``path`` (gzip for ``.gz``), whole or not at all."""
    write_atomically(path, encode(to_document(run), compress=path.suffix == ".gz"))
