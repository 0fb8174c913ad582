"""Content-addressed store of what is costly to make again (cubins, gate verdicts): several processes may share it.

An entry carries the SHA-256 of its payload, so a truncated or damaged one reads as missing and is made again.
A cache that cannot be written costs time, never a result: one warning, then the work goes on without it.
"""

from __future__ import annotations

import hashlib
import warnings
from functools import cache
from pathlib import Path
from typing import Literal

from gpuprobe.errors import GpuprobeError
from gpuprobe.files import write_atomically
from gpuprobe.resources import user_folder

Kind = Literal["cubin", "verdict"]

_MAGIC = b"gpuprobe-cache-1\n"
_DIGEST_BYTES = 32


def cache_dir() -> Path:
    """Folder of the cache: $GPUPROBE_CACHE, else $XDG_CACHE_HOME/gpuprobe, else ~/.cache/gpuprobe."""
    return user_folder("GPUPROBE_CACHE", "XDG_CACHE_HOME", ".cache")


def entry_path(kind: Kind, key: str) -> Path:
    """Where the entry of ``key`` (hex digits) lies; 256 subfolders keep listings short."""
    return cache_dir() / kind / key[:2] / key


def load(kind: Kind, key: str) -> bytes | None:
    """Payload stored under ``key``, or None where it is missing, unreadable or damaged."""
    try:
        raw = entry_path(kind, key).read_bytes()
    except (OSError, GpuprobeError):
        return None
    head = len(_MAGIC) + _DIGEST_BYTES
    digest, payload = raw[len(_MAGIC) : head], raw[head:]
    if not raw.startswith(_MAGIC) or hashlib.sha256(payload).digest() != digest:
        return None
    return payload


def store(kind: Kind, key: str, payload: bytes) -> None:
    """Keep ``payload`` under ``key``; where that fails (read-only, disk full) warn once and go on."""
    try:
        write_atomically(entry_path(kind, key), _MAGIC + hashlib.sha256(payload).digest() + payload)
    except GpuprobeError as error:
        _warn_once(error.message)


@cache
def _warn_once(message: str) -> None:
    warnings.warn(
        f"builds are not cached: {message}; set GPUPROBE_CACHE to a writable folder", RuntimeWarning, stacklevel=4
    )
