"""What is read of a Kineto (torch.profiler) or Chrome event: typed for msgspec, everything else is skipped unparsed.

An event's phase (``ph``) chooses its class, so that flow arrows, a third of a Kineto file, cost next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Union

import msgspec
from msgspec import Meta, Raw, Struct

Whole = Annotated[int, Meta(ge=-(2**62), le=2**62)]
Label = Whole | str | None


class Args(Struct, frozen=True, gc=False):
    """Arguments of an event; Raw ones are kept as JSON text (shapes, launch dimensions, collective details)."""

    correlation: Whole = 0
    external: Whole = msgspec.field(default=0, name="External id")
    device: Label = None
    stream: Label = None
    bytes: Whole | str = -1
    grid: Raw = Raw()
    block: Raw = Raw()
    registers: Raw = msgspec.field(default=Raw(), name="registers per thread")
    shared: Raw = msgspec.field(default=Raw(), name="shared memory")
    dims: Raw = msgspec.field(default=Raw(), name="Input Dims")
    types: Raw = msgspec.field(default=Raw(), name="Input type")
    strides: Raw = msgspec.field(default=Raw(), name="Input Strides")
    values: Raw = msgspec.field(default=Raw(), name="Concrete Inputs")
    graph: Whole = msgspec.field(default=0, name="graph id")
    node: Whole = msgspec.field(default=0, name="graph node id")
    wait_stream: Whole = msgspec.field(default=-1, name="wait_on_stream")
    wait_correlation: Whole = msgspec.field(default=0, name="wait_on_cuda_event_record_corr_id")
    collective: Raw = msgspec.field(default=Raw(), name="Collective name")
    in_elements: Raw = msgspec.field(default=Raw(), name="In msg nelems")
    out_elements: Raw = msgspec.field(default=Raw(), name="Out msg nelems")
    dtype: Raw = Raw()
    group_size: Raw = msgspec.field(default=Raw(), name="Group size")
    group: Raw = msgspec.field(default=Raw(), name="Process Group Name")


NO_ARGS = Args()


class Complete(Struct, gc=False, tag_field="ph", tag="X"):
    """A complete event whose times are numbers; enough where a double holds them."""

    cat: str | None = None
    name: str | None = None
    pid: Label = None
    tid: Label = None
    ts: int | float | str | None = None
    dur: int | float | str | None = 0
    args: Args = NO_ARGS


class CompleteText(Struct, gc=False, tag_field="ph", tag="X"):
    """The same with the times as their decimal text."""

    cat: str | None = None
    name: str | None = None
    pid: Label = None
    tid: Label = None
    ts: Raw = Raw()
    dur: Raw = Raw(b"0")
    args: Args = NO_ARGS


class Begin(Struct, gc=False, tag_field="ph", tag="B"):
    """The begin of a range on a thread."""

    cat: str | None = None
    name: str | None = None
    pid: Label = None
    tid: Label = None
    ts: Raw = Raw()


class End(Begin, gc=False, tag_field="ph", tag="E"):
    """The end of the innermost open range of a thread."""


class Counter(Struct, gc=False, tag_field="ph", tag="C"):
    """A counter: every key of its arguments is a series."""

    cat: str | None = None
    name: str | None = None
    pid: Label = None
    tid: Label = None
    ts: Raw = Raw()
    args: Any = None


class Named(Struct, gc=False, tag_field="ph", tag="M"):
    """Metadata: names of processes and threads."""

    cat: str | None = None
    name: str | None = None
    pid: Label = None
    tid: Label = None
    args: Any = None


class Unread(Struct, gc=False):
    """An event of any other phase, of which only the kind is counted."""

    ph: str | None = None
    cat: str | None = None


_UNREAD = tuple(
    msgspec.defstruct(f"Phase{ord(ph)}", [("cat", str | None, None)], tag_field="ph", tag=ph, gc=False)
    for ph in "stfiIbneNODPVvRc(),=ST"
)
_APART = (Begin, End, Counter, Named, *_UNREAD)


def _decoder(complete: type[Struct]) -> msgspec.json.Decoder[list[Any]]:
    """A decoder of an array of events of every phase."""
    union: Any = Union.__getitem__((complete, *_APART))
    return msgspec.json.Decoder(list[union])


NUMBER_EVENTS = _decoder(Complete)
TEXT_EVENTS = _decoder(CompleteText)

_WHOLE_ARGS = {item.encode_name: item.name for item in msgspec.structs.fields(Args) if item.type is not Raw}
_RAW_ARGS = {item.encode_name: item.name for item in msgspec.structs.fields(Args) if item.type is Raw}


def whole_of(value: Any) -> int | None:
    """The integer that a number or its text says, within 62 bits; None where it says none."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        number = int(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) <= 2**62 else None


def tag_of(kind: type[Struct]) -> str:
    """The ``ph`` of the events of a class."""
    return str(kind.__struct_config__.tag)


def tolerant(text: bytes) -> list[Any]:
    """One event that the typed decoder refuses (NaN, control characters, wrong types), or [] where it is no event.

    Fields of a wrong type count as absent, so one odd argument does not lose the event.
    """
    try:
        document = json.loads(text.decode("utf-8", "replace"), parse_float=_Number, strict=False)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    fields: dict[str, Any] = {
        "cat": _text(document.get("cat")),
        "name": _text(document.get("name")),
        "pid": _label(document.get("pid")),
        "tid": _label(document.get("tid")),
    }
    phase, arguments, start = document.get("ph"), document.get("args"), _time(document.get("ts"), b"")
    if phase == "X":
        args = _arguments(arguments) if isinstance(arguments, dict) else NO_ARGS
        return [CompleteText(**fields, ts=start, dur=_time(document.get("dur"), b"0"), args=args)]
    if phase in ("B", "E"):
        return [(Begin if phase == "B" else End)(**fields, ts=start)]
    return [Unread(_text(phase), fields["cat"])]


class _Number(Decimal):
    """A JSON number that keeps its decimal text."""


def _arguments(document: Mapping[str, Any]) -> Args:
    found: dict[str, Any] = {}
    for key, value in document.items():
        if key in _RAW_ARGS:
            found[_RAW_ARGS[key]] = Raw(json.dumps(value, default=float).encode())
        elif key in ("device", "stream"):
            found[key] = _label(value)
        elif key in _WHOLE_ARGS and (number := whole_of(value)) is not None:
            found[_WHOLE_ARGS[key]] = number
    return Args(**found)


def _text(value: Any) -> str | None:
    """Text as it is, without lone surrogates, which no output could hold."""
    return None if value is None else str(value).encode("utf-8", "replace").decode()


def _label(value: Any) -> int | str | None:
    whole = None if isinstance(value, str) else whole_of(value)
    return whole if whole is not None else _text(value)


def _time(value: Any, absent: bytes) -> Raw:
    if value is None:
        return Raw(absent)
    return Raw(str(value).encode("ascii", "replace")) if isinstance(value, (int, Decimal, str)) else Raw(b"")
