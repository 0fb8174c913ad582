"""What the probes of matrix instructions share: mma_rate.cu over a grid of warps and chains, its gate and its check.

A pass is ``chunk`` MMAs of each warp. PASSES counts stretches of about half a millisecond (an eighth where only
cycles are wanted), whatever the instruction costs; ``Point.iters`` holds the passes themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpuprobe import bounds
from gpuprobe.estimate import Estimator, Point, every, rate, rate_per_sm, slope
from gpuprobe.families.grid import knee, where
from gpuprobe.families.mma_host import expect_warps, mma_words
from gpuprobe.gate import Chain, Expect
from gpuprobe.mma import FP8, Mma, parse
from gpuprobe.operands import words
from gpuprobe.probe import Axis, Launch, Probe, Published, sm_count
from gpuprobe.record import DeviceSpec, Params

PASSES = (1, 6)
NOISE = {"throughput": 0.0042, "throughput@cycle": 0.0015, "rate@time": 0.0042}
"""From run to run: throughput follows the clock that power and temperature leave."""
MOST_WARPS, MOST_CHAINS = 16, 4
WORDS = 4
"""32-bit words that a thread stores."""
OUT_WORDS = 192 * MOST_WARPS * 32 * WORDS
"""Room for the results of one block of MOST_WARPS on each of up to 192 SMs."""

_LONG_CYCLES, _SHORT_CYCLES = 1.0e6, 2.4e5
_LATENCY = 33.0
# FMA per cycle of an SM, about: what Hopper's mma.sync reaches, and what its emulations do. They set lengths only.
_PACE = {"F64": 128.0, "TF32": 670.0, "F16": 1340.0, "BF16": 1340.0, "S8": 2680.0, "E4M3": 2000.0, "E5M2": 2000.0}
_PACE |= {"S4": 4000.0, "B1": 20000.0}
_EMULATED_PACE = {"S4": 110.0, "B1": 1500.0, "E4M3": 600.0, "E5M2": 600.0}


def instruction(params: Params) -> Mma:
    """The instruction that the axis MMA (or TYPE, of the two best known ones) names."""
    return parse(str(params["MMA"] if "MMA" in params else params["TYPE"]))


def may_be_emulated(mma: Mma) -> bool:
    """FP8, s4 and b1 with XOR: native on some architectures, made of other instructions on the rest (sm_90)."""
    return mma.a in FP8 or mma.a == "S4" or mma.operation == "XOR"


def chunk(mma: Mma) -> int:
    """MMAs of a warp in one pass; the emulation of sparse FP8 is so long that more would spill."""
    return 8 if mma.sparse and mma.a in FP8 else 64


def most_warps(mma: Mma) -> int:
    """Warps of the fullest block: sparse FP8, where emulated, takes too many registers for more."""
    return 8 if mma.sparse and mma.a in FP8 else MOST_WARPS


def is_single(params: Params) -> bool:
    """One warp with one chain: its rate is the latency."""
    return int(params["WARPS"]) == 1 and int(params["ILP"]) == 1


def is_full(params: Params) -> bool:
    """The most warps with the most chains."""
    return params["WARPS"] == most_warps(instruction(params)) and params["ILP"] == MOST_CHAINS


@dataclass(frozen=True)
class Grid:
    """What is measured of each instruction of a probe: of the ``headlines`` the whole grid, and rates in seconds."""

    headlines: tuple[str, ...]

    def keeps(self, params: Params) -> bool:
        """All points of the headlines; of the others one chain and the fullest; zero operands at the fullest."""
        if is_full(params):
            return True
        whole = self._is_headline(params) and (params["WARPS"] != 1 or "TYPE" in params)
        return params["OPERANDS"] == "random" and (whole or is_single(params))

    def is_timed(self, params: Params) -> bool:
        """Whether the point runs for milliseconds, for its rate in seconds: the fullest of the headlines."""
        return self._is_headline(params) and is_full(params)

    def passes(self, params: Params, device: DeviceSpec) -> int:
        """Passes for PASSES stretches of time."""
        mma, warps, chains = instruction(params), int(params["WARPS"]), int(params["ILP"])
        emulated = may_be_emulated(mma) and device.architecture == "sm_90"
        pace = (_EMULATED_PACE if emulated else _PACE)[mma.a] * (1.5 if mma.sparse else 1.0)
        latency = 4.0 * mma.fma / pace if emulated else _LATENCY
        cycles = chunk(mma) * max(latency / chains, warps * mma.fma / pace)
        stretch = _LONG_CYCLES if self.is_timed(params) else _SHORT_CYCLES
        return int(params["PASSES"]) * max(int(stretch / cycles), 1)

    def estimates(self) -> Estimator:
        """Latency (one warp, one chain), rate per SM, throughput in FLOP/s or op/s, and the knee of random operands."""
        latency = slope(
            "PASSES", quantity="latency", unit="cycle", x=lambda p: float(_steps(p)), y=lambda p, s: s.cycles_max
        )
        return every(
            where(lambda p: is_single(dict(p.params)), latency),
            rate_per_sm(fma_per_sm, "FMA/cycle/SM"),
            self._throughput("FLOP/s", integer=False),
            self._throughput("op/s", integer=True),
            where(lambda p: p["OPERANDS"] == "random", knee(fma_per_sm, unit="MMA/SM")),
        )

    def _throughput(self, unit: str, *, integer: bool) -> Estimator:
        def wanted(point: Point) -> bool:
            params = dict(point.params)
            return self.is_timed(params) and instruction(params).integer == integer

        return where(wanted, rate(operations, unit))

    def _is_headline(self, params: Params) -> bool:
        return (params["MMA"] if "MMA" in params else params["TYPE"]) in self.headlines


def published_latency(device: str, name: str, value: float, source: str, reason: str = "") -> Published:
    """A published latency of the instruction ``name``, in cycles."""
    return Published(device, value, source, {"MMA": name}, unit="cycle", reason=reason)


def published_best(
    device: str, name: str, value: float, source: str, quantity: str = "rate", unit: str = ""
) -> Published:
    """A published best rate or throughput of the instruction ``name``."""
    params: Params = {"MMA": name, "WARPS": MOST_WARPS, "ILP": MOST_CHAINS, "OPERANDS": "random"}
    return Published(device, value, source, params, quantity, unit, "best of warps x ILP, operands not stated", 0.05)


def fma_per_sm(point: Point) -> float:
    """Multiply-adds of one SM in one sample (of the dense product, where A is sparse)."""
    mma = instruction(dict(point.params))
    return float(_steps(point) * int(point["WARPS"]) * mma.fma)


def _steps(point: Point) -> int:
    """MMAs of one warp in one sample."""
    return point.iters * chunk(instruction(dict(point.params)))


def operations(point: Point) -> float:
    """Operations of the whole GPU in one sample, 2 a multiply-add."""
    return 2.0 * fma_per_sm(point) * point.grid


def expect(params: Params) -> Expect:
    """ILP independent chains that share the MMAs of a pass; emulations are let through with their label."""
    mma = instruction(params)
    return Expect(
        loop=True,
        counts={mma.opcode: chunk(mma)},
        chain=Chain(mma.opcode, width=int(params["ILP"])),
        native=(mma.opcode,),
        allow_emulated=may_be_emulated(mma),
    )


def check(point: Point, seed: int, out: bytes) -> str | None:
    """Every lane of every warp, bit for bit."""
    chains = int(point["ILP"])
    wanted = mma_words(instruction(dict(point.params)).name, seed, _steps(point) // chains, chains)
    return expect_warps(words(out)[: point.grid * point.block * WORDS], wanted)


def grid_probe(
    name: str,
    headlines: Sequence[str],
    instructions: Axis,
    *,
    covers: Sequence[int],
    published: Sequence[Published] = (),
    archs: str = ">=sm_80",
    warps: Sequence[int] = (1, 4, 8, 16),
) -> Probe:
    """The probe of a group of instructions by mma_rate.cu; in quick mode its ``headlines`` at few and many warps."""
    grid = Grid(tuple(headlines))
    return Probe(
        name=name,
        unit="FMA/cycle/SM",
        quantity="rate",
        kernel="mma_rate",
        archs=archs,
        defines={"MMA": instructions, "ILP": [1, 4]},
        axes={"WARPS": warps, "OPERANDS": ["random", "zero"], "PASSES": PASSES},
        quick={"MMA": headlines, "WARPS": [1, 16]},
        keep=grid.keeps,
        launch=Launch(grid=sm_count, block=lambda p, d: 32 * int(p["WARPS"]), iters=grid.passes),
        expect=expect,
        estimate=grid.estimates(),
        bound=bounds.matrix("MMA"),
        check=check,
        out_words=OUT_WORDS,
        best_over=("WARPS", "ILP"),
        covers=covers,
        noise=NOISE,
        published=published,
    )
