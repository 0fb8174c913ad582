"""Kernel Tuner's strategies and gpuprobe's, side by side in its simulation mode, at equal numbers of measurements.

    python benchmarks/kernel_tuner_strategies.py --space conv=convolution_a100_configs.csv:time_ms --repeats 20
    python benchmarks/kernel_tuner_strategies.py --held-out
    python benchmarks/kernel_tuner_strategies.py --triton 12

A space is a CSV of measured configurations: parameters in the columns before the one named, which is a time (empty: it
failed). ``--held-out`` takes the GEMMs that no model is trained on (models/data/GPU/held-out-*, ``--gpu``);
``--triton N`` takes N GEMMs that models are trained on, each predicted by one that has not seen it.
Needs kernel-tuner and scikit-learn.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import math
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import tile_held_out

from gpuprobe.tune import data
from gpuprobe.tune.kernel_tuner_hook import Belief, strategy

STRATEGIES = (
    "random_sample", "greedy_ils", "greedy_mls", "mls", "genetic_algorithm", "pso", "firefly_algorithm", "diff_evo",
    "simulated_annealing", "dual_annealing", "basinhopping", "bayes_opt",
)  # fmt: skip
BUDGETS = (5, 8, 15, 30)
LIMIT_S = 20  # some strategies never end in a space where a configuration has no neighbour left


@dataclass(frozen=True)
class Space:
    """A measured space: parameter names, configurations, times (None: failed), what a model believes of them."""

    name: str
    params: tuple[str, ...]
    configs: list[tuple[int, ...]]
    times: list[float | None]
    belief: Belief | None = None

    @property
    def best(self) -> float:
        """Least time."""
        return min(t for t in self.times if t is not None)

    def cache(self) -> dict[str, Any]:
        """The space as Kernel Tuner's cache."""
        values = {name: sorted({config[i] for config in self.configs}) for i, name in enumerate(self.params)}
        rows = {}
        for config, ms in zip(self.configs, self.times, strict=True):
            measured: dict[str, Any] = dict(zip(self.params, config, strict=True))
            measured["time"] = "RuntimeFailedConfig" if ms is None else ms
            rows[",".join(map(str, config))] = measured | dict.fromkeys(TIMINGS, 0.0)
        return {
            "device_name": "Simulation", "kernel_name": self.name, "problem_size": [1, 1, 1], "objective": "time",
            "tune_params_keys": list(self.params), "tune_params": values, "cache": rows,
        }  # fmt: skip


TIMINGS = ("compile_time", "verification_time", "benchmark_time", "strategy_time", "framework_time")


def from_csv(argument: str) -> Space:
    """NAME=FILE:COLUMN."""
    name, _, rest = argument.partition("=")
    path, _, column = rest.rpartition(":")
    with Path(path).open(newline="") as file:
        header, *rows = list(csv.reader(file))
    at = header.index(column)
    configs = [tuple(int(cell) for cell in row[:at]) for row in rows]
    return Space(name, tuple(header[:at]), configs, [float(row[at]) if row[at] else None for row in rows])


def held_out_spaces(gpu: str) -> Iterator[Space]:
    """GEMMs measured in every configuration, as the shipped model predicts them, which was not trained on them."""
    measured, times = tile_held_out.shipped(gpu)
    yield from _gemms(measured, Belief(times.time_s, times.log_sd), np.unique(measured.gemm).tolist())


def triton_spaces(count: int, gpu: str, predicted: Path | None) -> Iterator[Space]:
    """GEMMs of a GPU's sweeps, with held-out predictions."""
    measured, judged = tile_held_out.predicted(gpu, predicted)
    sd = judged.spreads * (judged.band[1] - judged.band[0]) / (2 * 1.645)
    gemms = np.unique(measured.gemm)
    chosen = random.Random(0).sample(gemms.tolist(), min(count, len(gemms)))
    yield from _gemms(measured, Belief(judged.predicted_s, sd), chosen)


def _gemms(measured: data.Measured, belief: Belief, gemms: Sequence[int]) -> Iterator[Space]:
    work = measured.work
    tilings = np.column_stack([work.bm, work.bn, work.bk, work.gm, work.warps, work.stages]).astype(int)
    names = ("BM", "BN", "BK", "GM", "warps", "stages")
    for gemm in gemms:
        rows = measured.gemm == gemm
        configs = [tuple(row) for row in tilings[rows].tolist()]
        times = (measured.time_s[rows] * 1e3).tolist()
        yield Space(f"triton-{gemm}", names, configs, times, Belief(belief.time_s[rows], belief.sd[rows]))


@contextlib.contextmanager
def built_once(space: Space) -> Iterator[None]:
    """Kernel Tuner's search space of the same space is built once: it takes longer than a short search."""
    from kernel_tuner import interface

    build, kept = interface.Searchspace, _BUILT

    def once(*arguments: Any, **options: Any) -> Any:
        if space.name not in kept:
            kept.clear()
            kept[space.name] = build(*arguments, **options)
        return kept[space.name]

    interface.Searchspace = once
    try:
        yield
    finally:
        interface.Searchspace = build


_BUILT: dict[str, Any] = {}


def run(space: Space, cache: Path, how: Any, budget: int, seed: int) -> tuple[float, int]:
    """Best time found within ``budget`` distinct configurations over the space's best, and how many were measured."""
    import kernel_tuner

    random.seed(seed)
    np.random.seed(seed)
    legal = set(space.configs)
    values = space.cache()["tune_params"]

    def is_legal(config: dict[str, int]) -> bool:
        return tuple(config[name] for name in space.params) in legal

    with contextlib.redirect_stdout(io.StringIO()), built_once(space):
        results, _ = kernel_tuner.tune_kernel(
            space.name, "", (1, 1, 1), [], values, simulation_mode=True, cache=str(cache), strategy=how,
            strategy_options={"max_fevals": budget}, verbose=False, quiet=True,
            restrictions=is_legal,
        )  # fmt: skip
    found = [row["time"] for row in results if isinstance(row["time"], float)]
    return min(found, default=max(t for t in space.times if t is not None)) / space.best, len(results)


@contextlib.contextmanager
def limit() -> Iterator[None]:
    """TimeoutError where the block takes more than LIMIT_S."""

    def end(_signal: int, _frame: object) -> None:
        raise TimeoutError(f"not done in {LIMIT_S} s")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)


def ways(space: Space, names: Sequence[str]) -> Iterator[tuple[str, Callable[[int], Any]]]:
    """Strategies by name, made for a seed."""
    yield "gpuprobe, no prior", lambda seed: strategy(seed=seed)
    if space.belief is not None:
        belief = space.belief
        rows = {config: row for row, config in enumerate(space.configs)}

        def prior(configs: Sequence[Any]) -> Belief:
            at = [rows[tuple(config[name] for name in space.params)] for config in configs]
            return Belief(belief.time_s[at], belief.sd[at])

        yield "gpuprobe, model as prior", lambda seed: strategy(prior, seed)
    for name in names:
        yield name, lambda seed, name=name: name


def compare(spaces: Sequence[Space], budgets: Sequence[int], repeats: int, names: Sequence[str]) -> dict[str, Any]:
    """Strategy → budget → slow-downs, of all spaces and repeats."""
    found: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for space in spaces:
            cache = Path(folder) / f"{space.name}.json"
            cache.write_text(json.dumps(space.cache()))
            for name, make in ways(space, names):
                begin = time.perf_counter()
                for budget in budgets:
                    for seed in range(1 if "prior" in name and "no" not in name else repeats):
                        try:
                            with limit():
                                slow = run(space, cache, make(seed), budget, seed)[0]
                        except (ValueError, IndexError, ZeroDivisionError, AssertionError, TimeoutError) as error:
                            print(f"{name} at {budget} fails in {space.name}: {error}", file=sys.stderr)
                            break
                        found.setdefault(name, {}).setdefault(budget, []).append(slow)
                print(f"{space.name} {name} {time.perf_counter() - begin:.1f} s", file=sys.stderr, flush=True)
    return found


def table(found: dict[str, Any], budgets: Sequence[int]) -> str:
    """Markdown: geometric mean, and worst, of best found over best of the space."""
    lines = [
        "| strategy | " + " | ".join(f"{budget} measured" for budget in budgets) + " |",
        "|---" * (len(budgets) + 1) + "|",
    ]
    order = sorted(found, key=lambda name: fmean(map(math.log, found[name].get(budgets[-1], [math.inf]))))
    for name in order:
        cells = []
        for budget in budgets:
            values = found[name].get(budget)
            cells.append(f"{math.exp(fmean(map(math.log, values))):.3f} ({max(values):.2f})" if values else "–")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Compare, and print a table a space."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", action="append", default=[], metavar="NAME=FILE:COLUMN")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--triton", type=int, default=0, metavar="N")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--strategies", default=",".join(STRATEGIES))
    options = tile_held_out.options(parser).parse_args()
    budgets = [int(one) for one in options.budgets.split(",")]
    names = options.strategies.split(",")
    for argument in options.space:
        print(
            f"\n{argument}\n\n{table(compare([from_csv(argument)], budgets, options.repeats, names), budgets)}",
            flush=True,
        )
    if options.held_out:
        spaces = list(held_out_spaces(options.gpu))
        print(f"\n{len(spaces)} held-out GEMMs\n\n{table(compare(spaces, budgets, options.repeats, names), budgets)}")
    if options.triton:
        spaces = list(triton_spaces(options.triton, options.gpu, options.predicted))
        print(f"\n{len(spaces)} Triton GEMMs\n\n{table(compare(spaces, budgets, options.repeats, names), budgets)}")


if __name__ == "__main__":
    main()
