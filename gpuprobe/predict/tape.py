"""Formulas recorded as a tape of operations: a formula written for numbers is called with Steps in place of them.

So the native part computes core and features by the very definitions that Python has, with no formula of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.native.forest import INPUTS
from gpuprobe.predict.arithmetic import Arithmetic, Value

OPERATIONS: Final = ("add", "sub", "mul", "div", "min", "max", "log", "ceil", "gcd", "ge", "le")
"""Operations of a tape; their places are the codes that forest.cpp knows."""


class Step:
    """A number that is known when the tape is played."""

    __slots__ = ("at", "tape")

    def __init__(self, tape: Tape, at: int) -> None:
        self.tape, self.at = tape, at

    def __add__(self, other: Value) -> Step:
        return self.tape.step("add", self, other)

    def __radd__(self, other: Value) -> Step:
        return self.tape.step("add", other, self)

    def __sub__(self, other: Value) -> Step:
        return self.tape.step("sub", self, other)

    def __rsub__(self, other: Value) -> Step:
        return self.tape.step("sub", other, self)

    def __mul__(self, other: Value) -> Step:
        return self.tape.step("mul", self, other)

    def __rmul__(self, other: Value) -> Step:
        return self.tape.step("mul", other, self)

    def __truediv__(self, other: Value) -> Step:
        return self.tape.step("div", self, other)

    def __rtruediv__(self, other: Value) -> Step:
        return self.tape.step("div", other, self)

    def __ge__(self, other: Value) -> Step:
        return self.tape.step("ge", self, other)

    def __le__(self, other: Value) -> Step:
        return self.tape.step("le", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a formula on a tape cannot branch on its numbers")


class Tape:
    """Operations on four inputs (m, n, k, layout) in their order, each on two places; what recurs is computed once.

    Places are those of the inputs, then of the constants, then of the operations' results.
    """

    def __init__(self) -> None:
        self.inputs = [Step(self, at) for at in range(INPUTS)]
        self._constants: dict[float, int] = {}
        self._steps: dict[tuple[str, int, int], int] = {}
        self.arithmetic = Arithmetic(
            log=lambda value: self.step("log", value, value),
            ceil=lambda value: self.step("ceil", value, value),
            minimum=lambda first, second: self.step("min", first, second),
            maximum=lambda first, second: self.step("max", first, second),
            gcd=lambda value, other: self.step("gcd", value, other),
        )

    def step(self, operation: str, first: Value, second: Value) -> Step:
        """The result of an operation on numbers, of which some are Steps."""
        key = operation, self._place(first), self._place(second)
        return Step(self, _STEPS_FROM + self._steps.setdefault(key, len(self._steps)))

    def numbers(self) -> int:
        """How many numbers there are: inputs, constants and results."""
        return INPUTS + len(self._constants) + len(self._steps)

    def constants(self) -> NDArray[np.float64]:
        """The constants."""
        return np.array(list(self._constants), np.float64)

    def code(self) -> NDArray[np.int32]:
        """(operations, 3): code of the operation and its two places."""
        rows = [(OPERATIONS.index(name), self._final(a), self._final(b)) for name, a, b in self._steps]
        return np.array(rows, np.int32).reshape(-1, 3)

    def places(self, values: Sequence[Value]) -> NDArray[np.int32]:
        """Where some results will be."""
        return np.array([self._final(self._place(value)) for value in values], np.int32)

    def _place(self, value: Value) -> int:
        if isinstance(value, Step):
            return value.at
        return INPUTS + self._constants.setdefault(float(value), len(self._constants))

    def _final(self, at: int) -> int:
        """A place, once the number of constants is known."""
        return at if at < _STEPS_FROM else at - _STEPS_FROM + INPUTS + len(self._constants)


_STEPS_FROM: Final = 1 << 20  # where results are while constants are still coming
