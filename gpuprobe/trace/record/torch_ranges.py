"""NVTX ranges of torch's ``emit_nvtx`` → operators with their shapes.

Their text is ``aten::mm, op_id = 12, sizes = [[64, 64], [64, 64]]``, with ``seq = 3`` where a backward step will follow
and ``input_op_ids = …`` at the end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuprobe.trace.model import RangeKind

_PARTS = re.compile(
    r"(?P<name>.+?)(?:, seq = \d+)?(?:, op_id = \d+)?(?:, sizes = (?P<sizes>\[[\d\[\], ]*\]))?(?:, input_op_ids = .*)?",
    re.DOTALL,
)
_MARKS = (", op_id = ", ", seq = ", ", sizes = ")
_OPERATOR = re.compile(r"::|Backward\d*$|^autograd")


class Described(NamedTuple):
    """A range's own name, what it is, and its arguments as JSON ('' for none)."""

    name: str
    kind: RangeKind
    args: str


def describe(text: str) -> Described:
    """What an NVTX range's text says; ranges of the program itself keep their text."""
    if not any(mark in text for mark in _MARKS):
        return Described(text, RangeKind.ANNOTATION, "")
    found = _PARTS.fullmatch(text)
    if found is None:
        return Described(text, RangeKind.ANNOTATION, "")
    name, sizes = found["name"], found["sizes"]
    has_tensors = sizes is not None and sizes.startswith("[[")
    kind = RangeKind.OPERATOR if has_tensors or _OPERATOR.search(name) else RangeKind.ANNOTATION
    return Described(name, kind, f'{{"dims":{sizes}}}' if sizes else "")
