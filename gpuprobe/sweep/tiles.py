"""A sweep of tiled kernels: for each sampled GEMM, the time of many configurations; resumable, a line a GEMM."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from gpuprobe import __version__
from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.triton_timer import Problem, Timed
from gpuprobe.ops.gemm import Gemm
from gpuprobe.ops.tiling import Tiling, sample
from gpuprobe.sweep.journal import SCHEMA, Journal, Record
from gpuprobe.sweep.shapes import Limits
from gpuprobe.sweep.shapes import sample as sample_shape

_MULTIPLE = 16  # of n and k: what Triton compiles its fast loads for
_LIMITS = Limits(most_s=1.2e-3, most_bytes=1 << 28)
_LEAST_FLOP = 1e7


class Bench(Protocol):
    """Times configurations of the GEMMs given to it."""

    def time(self, problem: Problem, tilings: Sequence[Tiling]) -> Iterator[Timed]:
        """One Timed a configuration, in order."""
        ...


@dataclass(frozen=True)
class TileCampaign:
    """What is measured: turns of (form, type), ``each`` configurations a GEMM.

    They are drawn from a pool that is compiled beforehand: ``pool`` of bf16, half as many of another type. With
    ``long_k`` every third GEMM has few tiles and a long k, so that latency bounds it.
    """

    turns: tuple[tuple[str, str], ...]
    seed: int = 0
    pool: int = 240
    each: int = 130
    long_k: bool = False

    @property
    def identity(self) -> Mapping[str, object]:
        """What must agree for a journal to be continued."""
        same = {"turns": [list(turn) for turn in self.turns], "seed": self.seed, "pool": self.pool, "each": self.each}
        return {**same, "long_k": True} if self.long_k else same

    def pools(self) -> dict[tuple[str, str], list[Tiling]]:
        """The configurations that are compiled, by form and type."""
        return {
            (form, dtype): sample(self.pool if dtype == "bf16" else self.pool // 2, dtype, self.seed)
            for form, dtype in self.turns
        }

    def problems(self, count: int) -> list[Problem]:
        """``count`` GEMMs, each its own."""
        found: list[Problem] = []
        for index in range(100 * count):
            form, dtype = self.turns[len(found) % len(self.turns)]
            if self.long_k and len(found) % 3 == 2:
                gemm = _latency_bound(random.Random(f"{self.seed}/long k/{index}"))
            else:
                _, gemm = sample_shape(self.seed, index, "bf16", "tn", _LIMITS)
            usable = gemm.n % _MULTIPLE == 0 and gemm.k % _MULTIPLE == 0 and gemm.flop >= _LEAST_FLOP
            problem = Problem(form, gemm.m, gemm.n, gemm.k, dtype)
            if usable and problem not in found:
                found.append(problem)
            if len(found) == count:
                return found
        raise GpuprobeError(f"only {len(found)} of {count} GEMMs found", "ask for fewer with --shapes")

    def tilings(self, problem: Problem, index: int, pool: Sequence[Tiling]) -> list[Tiling]:
        """The configurations of one GEMM, in random order."""
        return random.Random(f"{self.seed}/{index}/{problem.m}").sample(list(pool), min(self.each, len(pool)))


def _latency_bound(rng: random.Random) -> Gemm:
    """Few rows, or few columns, over a k of 2048 to 16384: a handful of tiles, each a long loop."""
    few, many = round(2 ** rng.uniform(0, 8)), _MULTIPLE * round(2 ** rng.uniform(2, 9))
    k = _MULTIPLE * round(2 ** rng.uniform(7, 10))
    return Gemm(few, many, k) if rng.random() < 0.8 else Gemm(many, _MULTIPLE * rng.randint(1, 8), k)


def measure(
    campaign: TileCampaign,
    problems: Sequence[Problem],
    bench: Bench,
    journal: Journal,
    records: Sequence[Record],
    facts: Mapping[str, object],
    stop: Callable[[], bool],
    say: Callable[[int, int], None],
) -> int:
    """Time what the journal lacks, GEMM by GEMM, until done or ``stop()``; gives the number timed now."""
    for record in records:
        if record["kind"] == "session" and record["campaign"] != dict(campaign.identity):
            raise GpuprobeError("the journal belongs to another campaign", "give the same options, or another -o")
    done = {record["index"] for record in records if record["kind"] == "row"}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    journal.append({
        "kind": "session", "schema": SCHEMA, "gpuprobe": __version__, "started_at": now,
        "campaign": dict(campaign.identity), **facts,
    })  # fmt: skip
    pools, timed = campaign.pools(), 0
    for index, problem in enumerate(problems):
        if stop():
            break
        if index in done:
            continue
        begin_s = time.perf_counter()
        rows = [
            _row(one)
            for one in bench.time(problem, campaign.tilings(problem, index, pools[problem.form, problem.dtype]))
        ]
        spent_s = round(time.perf_counter() - begin_s, 3)
        journal.append(
            {"kind": "row", "index": index, **asdict(problem), "seconds": spent_s, "columns": COLUMNS, "rows": rows}
        )
        timed += 1
        say(index + 1, len(problems))
    journal.sync()
    return timed


COLUMNS = (
    "bm",
    "bn",
    "bk",
    "gm",
    "warps",
    "stages",
    "time_us",
    "spread",
    "registers",
    "shared_bytes",
    "spills",
    "error",
)


def _row(one: Timed) -> list[object]:
    samples = one.samples_s
    spread = (max(samples) - min(samples)) / one.time_s if one.time_s else 0.0
    return [
        *one.tiling,
        round(one.time_s * 1e6, 4),
        round(spread, 4),
        one.registers,
        one.shared_bytes,
        one.spills,
        one.error,
    ]
