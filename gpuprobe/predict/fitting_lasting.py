"""Fitting the sustained state of a GPU: one power balance and one small forest for all its types and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import boosting, domain, intervals
from gpuprobe.predict.arithmetic import ARRAY, Value
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Core, Problem, bound, core, rates
from gpuprobe.predict.dataset import BLOCKS, LASTING, Dataset
from gpuprobe.predict.features import features
from gpuprobe.predict.forest import Forest, answered_no, joined, summed
from gpuprobe.predict.lasting import Lasting, balance, kind_of, with_state
from gpuprobe.predict.machine import Machine
from gpuprobe.predict.power import Sustained, core_blocks, sustained
from gpuprobe.predict.search import searched

Array = NDArray[np.float64]

FEWEST_ROWS: Final = 40
"""Sustained rows of a GPU below which the power balance stays analytic."""
FEWEST_OF_CLASS: Final = 10
"""Sustained rows of a class below which it takes what was learned of the others, out of domain."""
_RECIPE: Final = Recipe(trees=35, depth=6, step=0.25, damping=6.0, rows=0.5, bins=32)
_SEEDS: Final = (0, 1, 2)
"""Forests whose mean is taken: with a few hundred rows one alone is as good as its seed."""
_SPREADS: Final = Recipe(trees=60, depth=6, step=0.17, damping=40.0, bins=32)
_COMMON: Final = ("static_w", "busy_w", "joule_per_byte", "tdp_w")
_BUSY: Final = 0.15  # of the cap: where the search for the power of busy SMs starts


class Colds:
    """Sustained rows of a class with their cold times and blocks by models that did not see their (n,k)."""

    def __init__(self, data: Dataset, machine: Machine, fold: NDArray[np.int64]) -> None:
        dtype = DTYPES[data.dtype]
        self.data, self.machine, self.fold = data, machine, fold
        self.problem = Problem(data.m, data.n, data.k, dtype.input_bytes, dtype.output_bytes, data.nn)
        self.parts: Core = core(self.problem, rates(machine, dtype), ARRAY)
        self.cold_s: Array = np.array(self.parts.time_s, np.float64)
        self.blocks: Array = np.array(core_blocks(self.problem, machine, ARRAY), np.float64)
        self.columns = [np.asarray(column, np.float64) for column in features(self.problem, self.parts, ARRAY)]

    def predict(self, index: int, forest: Forest, targets: Sequence[str]) -> None:
        """Turn the core's times and blocks of one fold's rows into predicted ones."""
        rows = self.fold == index
        if not rows.any():
            return
        outputs = np.exp(forest.many([column[rows] for column in self.columns]))
        self.cold_s[rows] *= outputs[:, targets.index("cold")]
        if BLOCKS in targets:
            self.blocks[rows] *= outputs[:, targets.index(BLOCKS)]

    def state(self, machine: Machine) -> Sustained:
        """The power balance by a machine's constants."""
        return sustained(self.problem, self.parts, self.cold_s, self.blocks, machine, ARRAY)

    def left(self, state: Sustained) -> Array:
        """log(measured / balance) of LASTING, a column each."""
        values = zip(LASTING, balance(state), strict=True)
        return np.column_stack([np.log(self.data.targets[name] / value) for name, value in values])

    @property
    def alignment(self) -> int:
        """The class of its rows."""
        return int(self.data.alignment.max())

    def seen(self, machine: Machine) -> list[Value]:
        """What the forest sees, by a machine's constants."""
        kind = kind_of(machine, self.data.dtype, self.alignment)
        return with_state(self.columns, self.parts, self.state(machine), self.cold_s, self.blocks, kind, ARRAY)


@dataclass(frozen=True)
class Judged:
    """Held-out log errors and spreads of LASTING of one class, regimes, bands, and the rows."""

    data: Dataset
    errors: Array
    spreads: Array
    regimes: NDArray[np.int64]
    bands: list[list[list[float]]]


@dataclass(frozen=True)
class Settled:
    """The sustained model of one class: its machine with fitted power, what answers, and its held-out rows."""

    machine: Machine
    lasting: Lasting
    judged: Judged


def fit(parts: Sequence[Colds], kin: Sequence[Colds] = ()) -> list[Settled]:
    """The sustained model of each class, fitted to the rows of all and judged by models of the other folds.

    ``kin`` are sustained rows of another GPU of the chip, relative to a balance of their own: they train the forests,
    told apart by one more feature that nobody answers for who asks of this GPU, and judge nothing.
    """
    machines = _tuned(parts)
    kin = kin if sum(len(part.data) for part in kin) >= FEWEST_ROWS else ()
    both = [*parts, *kin]
    of_both = [*machines, *(_tuned(kin) if kin else ())]
    columns = _stacked([part.seen(machine) for part, machine in zip(both, of_both, strict=True)])
    targets = np.concatenate([part.left(part.state(machine)) for part, machine in zip(both, of_both, strict=True)])
    fold = np.concatenate([part.fold for part in both])
    count = sum(len(part.data) for part in parts)
    own = np.arange(len(fold)) < count
    told = [*columns, (~own).astype(np.float64)]
    errors, spreads = np.zeros(targets.shape), np.zeros(targets.shape)
    for index in np.unique(fold):
        inside, out = fold != index, fold == index
        forest = _grown(_take(told, inside), targets[inside])
        errors[out] = targets[out] - forest.many(_take(told, out))
    learned = intervals.spread_target(errors)
    for index in np.unique(fold):
        inside, out = fold != index, fold == index
        spread = boosting.grow(_take(columns, inside), learned[inside], _SPREADS, seed=1)
        spreads[out] = np.exp(spread.many(_take(columns, out)))
    errors, spreads = errors[own], spreads[own]
    regimes: NDArray[np.int64] = np.concatenate([bound(part.parts, ARRAY) for part in parts])
    none = np.full(count, -1)  # of a few hundred rows no regime has enough for a band of its own
    bands = [intervals.bands(errors[:, at], spreads[:, at], none) for at in range(len(LASTING))]
    forest = joined(answered_no(_grown(told, targets), len(columns)), boosting.grow(columns, learned, _SPREADS, seed=1))
    shared = forest.rounded()
    ends = np.cumsum([len(part.data) for part in parts])
    settled = []
    for part, machine, end in zip(parts, machines, ends.tolist(), strict=True):
        rows = slice(end - len(part.data), end)
        known = len(part.data) >= FEWEST_OF_CLASS
        lasting = Lasting(
            shared, bands, part.data.layouts if known else (), domain.ranges_of(part.columns),
            kind_of(machine, part.data.dtype, part.alignment),
        )  # fmt: skip
        settled.append(Settled(machine, lasting, Judged(part.data, errors[rows], spreads[rows], regimes[rows], bands)))
    return settled


def _grown(columns: list[Value], targets: Array) -> Forest:
    """A forest of LASTING: power has trees of its own, whose questions time and clock do not choose."""
    power = LASTING.index("power")
    others = [at for at in range(len(LASTING)) if at != power]
    apart = joined(_mean(columns, targets[:, others], 0), _mean(columns, targets[:, [power]], len(_SEEDS)))
    order = np.argsort([*others, power])
    return Forest(apart.feature, apart.threshold, apart.leaves[:, :, order], apart.base[order])


def _mean(columns: list[Value], targets: Array, first_seed: int) -> Forest:
    """The mean of forests grown by several seeds, as one forest."""
    forests = [boosting.grow(columns, targets, _RECIPE, seed=first_seed + seed) for seed in _SEEDS]
    return summed(forests, [1 / len(forests)] * len(forests))


def _stacked(tables: Sequence[Sequence[Value]]) -> list[Value]:
    return [np.concatenate(column) for column in zip(*tables, strict=True)]


def _take(columns: list[Value], mask: NDArray[np.bool_]) -> list[Value]:
    return [column[mask] for column in columns]


def _tuned(parts: Sequence[Colds]) -> list[Machine]:
    """The machine of each class whose balance is nearest to the measured powers and times.

    Power at rest, of busy SMs, per byte and the cap are the GPU's; the energy per operation is the type's and class's.
    """
    first = parts[0].machine
    common = {
        "static_w": max(first.static_w, 1.0), "busy_w": _BUSY * first.tdp_w,
        "joule_per_byte": max(first.joule_per_byte, 1e-13), "tdp_w": first.tdp_w,
    }  # fmt: skip
    own = {
        f"{index}": max(part.machine.joule_per_flop, 1e-14) for index, part in enumerate(parts)
    }  # the energy per operation of each class

    def made(numbers: dict[str, float]) -> list[Machine]:
        shared = {name: numbers[name] for name in _COMMON}
        return [replace(part.machine, **shared, joule_per_flop=numbers[f"{index}"]) for index, part in enumerate(parts)]

    def loss(numbers: dict[str, float]) -> float:
        left = [part.left(part.state(machine)) for part, machine in zip(parts, made(numbers), strict=True)]
        return float(np.abs(np.concatenate(left)[:, :2]).mean(axis=0).sum())

    return made(searched({**common, **own}, loss))
