"""What keeps a candidate's process away from the others: memory that cannot be opened, rights given up, a guard."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_CAPBSET_DROP: Final = 24
_CAPABILITY_VERSION_3: Final = 0x20080522
_GIVEN_UP: Final = (16, 17, 19, 21, 23)  # SYS_MODULE, SYS_RAWIO, SYS_PTRACE, SYS_ADMIN, SYS_NICE


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def end_with_parent() -> None:
    """Be killed when the parent is: a candidate that computes, or stands still, never sees its pipes close."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def hide_memory() -> None:
    """Keep processes of this user without special rights from this one's memory, and from its open files."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def show_memory() -> None:
    """Be an ordinary process again after a fork from one that hides."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def give_up_rights() -> None:
    """Give up, for ever, what would let root open another process's memory; without effect for other users."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None)
    for number in _GIVEN_UP:
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    header, sets = _Header(_CAPABILITY_VERSION_3, 0), (_Sets * 2)()
    if libc.capget(ctypes.byref(header), sets) == 0:
        for number in _GIVEN_UP:
            for field in ("effective", "permitted", "inheritable"):
                setattr(sets[0], field, getattr(sets[0], field) & ~(1 << number))
        libc.capset(ctypes.byref(header), sets)


class Standing(NamedTuple):
    """How a process is scheduled: niceness, policy, CPUs it may run on."""

    nice: int
    policy: int
    cpus: frozenset[int]


def standing(pids: Sequence[int]) -> list[Standing]:
    """How processes are scheduled, to be compared later: a candidate of the same user could change it."""
    if sys.platform != "linux":
        return []
    return [
        Standing(os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid), frozenset(os.sched_getaffinity(pid)))
        for pid in pids
    ]
