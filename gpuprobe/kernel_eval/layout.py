"""Where inputs, outputs and indices lie in the arena: one flat block of memory shared by the two workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

ALIGNMENT: Final = 256
SEGMENT_BYTES: Final = 32 << 20
"""The arena is a multiple of this: no allocator puts anything of the reference worker's beside it."""
MOST_CALLS: Final = 256
"""Most calls in one batch."""
FEWEST_CALLS: Final = 4
WITNESSES: Final = 64
"""Elements of all outputs together that are looked at after each call."""
OUT_SLOTS: Final = 2
INT64_BYTES: Final = 8


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: shape, dtype (``float32``), bytes of an element; ``floating`` where it can be perturbed."""

    shape: tuple[int, ...]
    dtype: str
    item_bytes: int
    floating: bool

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Bytes of all elements."""
        return self.elements * self.item_bytes


def spec_of(document: dict[str, Any]) -> TensorSpec:
    """A TensorSpec from its JSON form."""
    return TensorSpec(**{**document, "shape": tuple(document["shape"])})


@dataclass(frozen=True)
class Layout:
    """Byte offsets in the arena. ``slots[i][j]``: input j of slot i; ``outs[i][j]``: output j of output slot i.

    ``positions`` and ``values[j]`` hold what is changed before each call (element and new value of floating input j),
    ``looks`` the elements of the outputs that are witnessed after it.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    slots: tuple[tuple[int, ...], ...]
    outs: tuple[tuple[int, ...], ...]
    grads: tuple[tuple[int, ...], ...]
    positions: int
    values: tuple[int, ...]
    looks: int
    bytes: int

    @property
    def floating(self) -> tuple[int, ...]:
        """Indices of the inputs that are perturbed."""
        return tuple(index for index, spec in enumerate(self.inputs) if spec.floating and spec.elements)

    @property
    def looks_each(self) -> int:
        """Elements witnessed of each output after each call."""
        return max(1, WITNESSES // max(1, len(self.outputs)))

    @property
    def input_bytes(self) -> int:
        """Bytes of the inputs of one call."""
        return sum(spec.bytes for spec in self.inputs)

    @property
    def output_bytes(self) -> int:
        """Bytes of the outputs of one call."""
        return sum(spec.bytes for spec in self.outputs)

    def slot_range(self, slot: int) -> tuple[int, int]:
        """First byte and number of bytes of a slot."""
        begin = self.slots[slot][0]
        end = self.slots[slot + 1][0] if slot + 1 < len(self.slots) else self.outs[0][0]
        return begin, end - begin

    def out_range(self) -> tuple[int, int]:
        """First byte and number of bytes of all output slots, gradients included."""
        return self.outs[0][0], self.positions - self.outs[0][0]

    def index_range(self) -> tuple[int, int]:
        """First byte and number of bytes of the tables of positions, values and looks."""
        return self.positions, self.bytes - self.positions

    def document(self) -> dict[str, Any]:
        """The layout as JSON data."""
        return asdict(self)


def layout_of(document: dict[str, Any]) -> Layout:
    """A Layout from its JSON form."""
    return Layout(
        inputs=tuple(map(spec_of, document["inputs"])),
        outputs=tuple(map(spec_of, document["outputs"])),
        slots=tuple(map(tuple, document["slots"])),
        outs=tuple(map(tuple, document["outs"])),
        grads=tuple(map(tuple, document["grads"])),
        positions=document["positions"],
        values=tuple(document["values"]),
        looks=document["looks"],
        bytes=document["bytes"],
    )


class _Cursor:
    def __init__(self) -> None:
        self.at = 0

    def take(self, size: int) -> int:
        begin = self.at
        self.at = -(-(begin + size) // ALIGNMENT) * ALIGNMENT
        return begin


def lay_out(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], slots: int) -> Layout:
    """Offsets for ``slots`` sets of inputs, two sets of outputs and of gradients, and the index tables."""
    cursor = _Cursor()
    slot_offsets = tuple(tuple(cursor.take(spec.bytes) for spec in inputs) for _ in range(slots))
    outs = tuple(tuple(cursor.take(spec.bytes) for spec in outputs) for _ in range(OUT_SLOTS))
    floating = [spec for spec in inputs if spec.floating and spec.elements]
    grads = tuple(tuple(cursor.take(spec.bytes) for spec in floating) for _ in range(OUT_SLOTS))
    positions = cursor.take(MOST_CALLS * max(1, len(floating)) * INT64_BYTES)
    values = tuple(cursor.take(MOST_CALLS * spec.item_bytes) for spec in floating)
    looks = cursor.take(MOST_CALLS * WITNESSES * INT64_BYTES)
    return Layout(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        slots=slot_offsets,
        outs=outs,
        grads=grads,
        positions=positions,
        values=values,
        looks=looks,
        bytes=-(-cursor.at // SEGMENT_BYTES) * SEGMENT_BYTES,
    )
