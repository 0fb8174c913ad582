"""CUPTI's enumerations in the words that torch.profiler uses, so that traces of both compare."""

from __future__ import annotations

import re

_COPIES = ("Unknown", "HtoD", "DtoH", "HtoA", "AtoH", "AtoA", "AtoD", "DtoA", "DtoD", "HtoH", "PtoP")
_MEMORY = ("Unknown", "Pageable", "Pinned", "Device", "Array", "Managed", "Device", "Managed")
_SYNCS = ("Unknown Sync", "Event Sync", "Stream Wait Event", "Stream Sync", "Context Sync")
_OVERHEADS = {
    1: "Driver Compiler",
    1 << 16: "Buffer Flush",
    2 << 16: "Instrumentation",
    3 << 16: "Resource",
    4 << 16: "Runtime Triggered Module Loading",
    5 << 16: "Lazy Function Loading",
    6 << 16: "Command Buffer Full",
    7 << 16: "Activity Buffer Request",
    8 << 16: "UVM Activity Init",
}
_VERSION = re.compile(r"(_ptsz|_ptds)?(_v\d+)?$")


def copy_name(kind: int, source: int, target: int) -> str:
    """``Memcpy HtoD (Pinned -> Device)``."""
    return f"Memcpy {_at(_COPIES, kind)} ({_at(_MEMORY, source)} -> {_at(_MEMORY, target)})"


def set_name(target: int) -> str:
    """``Memset (Device)``."""
    return f"Memset ({_at(_MEMORY, target)})"


def sync_name(kind: int) -> str:
    """``Stream Sync`` and its like."""
    return _at(_SYNCS, kind)


def overhead_name(kind: int) -> str:
    """What CUPTI or the driver spent time on for the recording's sake."""
    return _OVERHEADS.get(kind, "Unknown overhead")


def call_name(name: str) -> str:
    """``cudaLaunchKernel`` of ``cudaLaunchKernel_ptsz_v7000``: an API by its plain name."""
    return _VERSION.sub("", name)


def _at(names: tuple[str, ...], index: int) -> str:
    return names[index] if 0 <= index < len(names) else names[0]
