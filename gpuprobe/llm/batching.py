"""How many sequences to serve at once: throughput against latency, the knee, what fits, where launches stop mattering.

The knee is that of "Mind the Memory Gap" (arXiv:2503.08311): of the batches whose time between tokens keeps the SLO and
whose throughput is still more than EPSILON of perfect scaling from one sequence, the one with the highest throughput.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.llm.hardware import Hardware
from gpuprobe.llm.memory import largest_batch, memory
from gpuprobe.llm.phase import Phase, phase
from gpuprobe.llm.plan import Plan
from gpuprobe.llm.step import decode_step

EPSILON: Final = 0.2
SLO_BATCH: Final = 32
SLO_FACTOR: Final = 5.0
"""Without an SLO: five times the time between tokens at 32 sequences, as the paper has it."""
LONGEST_SLO_S: Final = 3600.0
LAUNCH_SHARE: Final = 0.1
"""Below this part of a step launches no longer matter."""


@dataclass(frozen=True)
class BatchPoint:
    """One batch: time between tokens in s, tokens/s of all sequences, J a token, bytes of the caches on a GPU.

    ``scaling``: throughput over batch times that of one sequence; ``launch_share``: of the step's time.
    """

    batch: int
    time_per_token_s: float
    time_per_token_s_low: float
    time_per_token_s_high: float
    tokens_per_s: float
    energy_per_token_j: float
    kv_bytes: int
    scaling: float
    launch_share: float
    bound: str


@dataclass(frozen=True)
class Batching:
    """The curve and what follows from it; a batch is 0 where none answers."""

    points: tuple[BatchPoint, ...]
    slo_s: float
    epsilon: float
    largest: int
    knee: int
    launches_matter_below: int

    def point(self, batch: int) -> BatchPoint | None:
        """The point of a batch."""
        return next((one for one in self.points if one.batch == batch), None)

    def document(self) -> dict[str, Any]:
        """As JSON, with what the knee gets and gives up."""
        knee, last = self.point(self.knee), self.points[-1]
        best = max(one.tokens_per_s for one in self.points)
        return {
            "slo_s": self.slo_s,
            "epsilon": self.epsilon,
            "largest_batch": self.largest,
            "knee_batch": self.knee,
            "knee_share_of_best_tokens_per_s": knee.tokens_per_s / best if knee else None,
            "knee_share_of_largest_kv": knee.kv_bytes / last.kv_bytes if knee else None,
            "launches_matter_below_batch": self.launches_matter_below,
            "points": [asdict(one) for one in self.points],
        }


def batching(plan: Plan, gpu: Hardware, slo_s: float | None = None) -> Batching:
    """The curve over all powers of two that fit; GpuprobeError (exit 3) where not even one sequence does."""
    if slo_s is not None and not 0 < slo_s < LONGEST_SLO_S:
        raise GpuprobeError(f"an SLO of {slo_s * 1e3:g} ms makes no sense", "give the time between tokens in ms")
    tried = batches(plan, gpu)
    single = _at(plan, 1, gpu).time_s.value
    points = tuple(_point(plan, batch, gpu, single) for batch in tried)
    slo = slo_s or SLO_FACTOR * _at(plan, SLO_BATCH, gpu).time_s.value
    feasible = [one for one in points if one.time_per_token_s <= slo and one.scaling > EPSILON]
    best = max(feasible, key=lambda one: one.tokens_per_s, default=None)
    free = next((one.batch for one in points if one.launch_share < LAUNCH_SHARE), 0)
    return Batching(points, slo, EPSILON, tried[-1], best.batch if best else 0, free)


def batches(plan: Plan, gpu: Hardware) -> list[int]:
    """Powers of two that fit, and the largest batch that does; GpuprobeError (exit 3) where none does."""
    largest = largest_batch(plan, gpu)
    if largest == 0:
        needed = memory(replace(plan, batch=1), gpu).total_bytes / 1e9
        raise GpuprobeError(
            f"{plan.model.name} needs {needed:.1f} GB of a {gpu.name} with {gpu['memory_bytes'].value / 1e9:.1f} GB",
            "use more GPUs (--tp), --dtype fp8, a shorter context, or a larger GPU",
            Exit.MACHINE_LACKS,
        )
    powers = [1 << power for power in range(largest.bit_length())]
    return powers if powers[-1] == largest else [*powers, largest]


def _at(plan: Plan, batch: int, gpu: Hardware) -> Phase:
    at = replace(plan, batch=batch)
    return phase(at, decode_step(at), gpu)


def _point(plan: Plan, batch: int, gpu: Hardware, single_s: float) -> BatchPoint:
    found = _at(plan, batch, gpu)
    time_s = found.time_s.value
    return BatchPoint(
        batch,
        *found.time_s,
        batch / time_s,
        found.energy_j.value / batch,
        batch * plan.kv_bytes(plan.context),
        single_s / time_s,
        launch_share(found),
        found.bound,
    )


def launch_share(found: Phase) -> float:
    """Part of a step that is waiting for the host, or kernels that take as long as empty ones."""
    waiting = max(found.time_s.value - found.gpu_s.value, 0.0)
    small = sum(part.total_s for part in found.parts if part.bound == "launch")
    return (waiting + small) / found.time_s.value
