"""Clock, power and heat beside a timing: what is asked of whoever can read the sensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Condition = Callable[[float, float], dict[str, Any]]
"""What the sensors said between two moments of ``time.perf_counter``."""

Watch = Callable[[str], AbstractContextManager[Condition]]
"""Polls the GPU with a UUID while its context is open."""


@contextmanager
def unwatched(uuid: str) -> Iterator[Condition]:
    """No sensors: every condition is empty."""
    yield lambda _begin_s, _end_s: {}
