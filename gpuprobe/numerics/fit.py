"""From the results of designed vectors to a model of the instruction: what it keeps, cuts, rounds, and in which order.

Each finding rests on vectors in which one thing is isolated (see ``vectors.designed_vectors``); the model made of them
is then held against every vector, designed and random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpuprobe.errors import GpuprobeError
from gpuprobe.numerics.formats import Bits, Flags, Rounding
from gpuprobe.numerics.model import Fused, Model, Places, Sequential
from gpuprobe.numerics.vectors import FAMILIES, PLACES, SHIFTS, Operands

_KEPT, _ADDEND, _QUARTERS, _CARRIED, _ROUNDED = 0, 4, 9, 11, 12  # families of designed vectors


@dataclass(frozen=True)
class Findings:
    """What the designed vectors show.

    ``fraction_bits`` are kept of a product, ``addend_bits`` of the addend, below the largest exponent; ``result_bits``
    of fraction has the result of a step, which is rounded to the ``nearest`` or cut; ``places`` along k by group, in
    the order of their addition.
    """

    fraction_bits: int
    addend_bits: int
    result_bits: int
    nearest: bool
    places: Places

    @property
    def group(self) -> int:
        """Products that are added at once."""
        return max(len(group) for group in self.places)

    def model(self) -> Model:
        """The model with these properties."""
        if self.group == 1 and self.nearest:
            return Sequential()
        separate = self.addend_bits > self.fraction_bits
        rounding: Rounding = "nearest" if self.nearest else "truncate"
        return Fused(self.places, self.fraction_bits, self.result_bits, rounding, separate)


def findings(results: Bits, operands: Operands) -> Findings:
    """What the results of ``designed_vectors`` show; GpuprobeError where they make no sense."""
    families = results[: FAMILIES * SHIFTS].reshape(FAMILIES, SHIFTS)
    tables = results[FAMILIES * SHIFTS :].reshape(2, PLACES, PLACES)[:, : operands.k, : operands.k] != 0
    carried = _last(families[_CARRIED] != families[_CARRIED, -1])
    fraction = _last(families[_KEPT] != 0) + operands.deeper
    result = min(carried + operands.deeper + 1, operands.addend.mantissa_bits)
    return Findings(
        fraction_bits=fraction,
        addend_bits=_last(families[_ADDEND] != 0) + operands.deeper,
        result_bits=result,
        nearest=_rounds(families, result + 1 - operands.deeper if fraction > result + 1 else None, carried),
        places=_places(tables[0], tables[1]),
    )


def _rounds(families: Bits, below: int | None, carried: int) -> bool:
    """Whether results are rounded to the nearest: by 3/4 of the last bit, or by one and a half after a carry.

    The first (at the shift ``below``) needs two bits kept beyond the result's, the second a tie that goes to even.
    """
    if below is not None:
        return bool(families[_QUARTERS, below] != families[_QUARTERS, -1])
    return bool(families[_ROUNDED, carried] != families[_CARRIED, carried])


def _last(there: Flags) -> int:
    """The last shift of an unbroken row of effects, from shift 0 on."""
    if not there[0]:
        raise GpuprobeError("the largest numbers leave no trace in the results", "the kernel computed something else")
    return int(np.argmin(there)) - 1 if not there.all() else len(there) - 1


def _places(later: Flags, after_pair: Flags) -> Places:
    """Places along k by group: ``later[p, l]`` says that what is at l is added after what is at p.

    In the first table X meets -X in the addend. Where a separate addition brings that in last, all is lost, and the
    order stands in the second table, with X and -X at p and p ^ 1.
    """
    table = later if later.any() else after_pair
    before = table.sum(axis=0)
    groups = [tuple(int(place) for place in np.flatnonzero(before == count)) for count in np.unique(before)]
    return tuple(groups)
