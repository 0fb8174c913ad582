"""What a file says about its recording, checked: analyses take its keys as they stand in ``Trace``.

A key of another type is a damaged or hostile file's: it is left out and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import msgspec

Whole = Annotated[int, msgspec.Meta(ge=-(2**62), le=2**62)]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Source(TypedDict, total=False):
    file: str
    format: str
    json_bytes: Size
    json_sha256: str
    events: Size
    events_by_ph_cat: dict[str, Size]


class _Device(TypedDict, total=False):
    name: str


class _Recorder(TypedDict, total=False):
    records: Size
    dropped: Size
    bytes: Size
    seconds: float
    calls: list[str]
    graphs: list[str]
    cupti: list[str]


class _Run(TypedDict, total=False):
    command: list[str]
    wall_seconds: float


class _Workload(TypedDict, total=False):
    model: str
    phase: str
    batch: Size
    context: Size
    mode: str
    name: str
    dtype: str
    steps: Size
    tokens_per_step: Size
    step_s: list[float]


TYPES: Mapping[str, Any] = {
    "source": _Source,
    "vendor": str,
    "base_ns": Whole,
    "devices": list[_Device],
    "processes": dict[str, str],
    "threads": dict[str, str],
    "rank": Whole,
    "world_size": Whole,
    "recorder": _Recorder,
    "run": _Run,
    "workload": _Workload,
    "clock": dict[str, Whole],
    "window": dict[str, Any],
    "windows": dict[str, Any],
}
"""The keys that analyses use."""


def checked(meta: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The meta data without what has another type than its key, and a warning for each key left out."""
    kept, warnings = {}, []
    for key, value in meta.items():
        try:
            if key in TYPES:
                msgspec.convert(value, TYPES[key])
        except msgspec.ValidationError as error:
            warnings.append(f"the file's '{key}' is damaged and left out: {error}")
        else:
            kept[key] = value
    return kept, warnings
