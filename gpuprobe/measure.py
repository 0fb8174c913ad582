"""The measuring method: warm up, sample in shuffled rounds until the intervals are narrow, repeat the first.

A round takes one sample of every configuration of a probe in random order; the probe's estimator turns the round into
estimates, whose values over the rounds are the samples of a Measurement. The same code runs on a real GPU and on a
recording.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from gpuprobe.estimate import Estimate, Point, Round
from gpuprobe.gpu.protocol import Exhausted, Gpu, Job, OutOfMemory
from gpuprobe.judge import Log, Result, covers, judge
from gpuprobe.kernels import Kernel, Kernels, defines_key
from gpuprobe.probe import Mode, Probe
from gpuprobe.record import Rejection, Sample
from gpuprobe.stats import StopRule

DRIFT_REPEATS = 5
WARM_ROUNDS = 2
PAIR_STRIDE = 37
"""Step of a paired probe's seeds: coprime to any SM count, so that rounds visit all SMs."""


@dataclass(frozen=True)
class Plan:
    """How long to sample a probe: until every quantity's interval is narrow, or the rule's limits are met."""

    mode: Mode
    stop: StopRule


PLANS: Mapping[Mode, Plan] = {
    "quick": Plan("quick", StopRule(relative_width=0.004, min_samples=15, max_samples=61, max_seconds=4.0)),
    "full": Plan("full", StopRule(relative_width=0.002, min_samples=31, max_samples=201, max_seconds=5.0)),
}


class Watcher(Protocol):
    """Told of the state after every round, for a progress line."""

    def round(self, probe: Probe, done: int, most: int, estimate: Estimate, sample: Sample) -> None:
        """Round ``done`` of at most ``most`` is over: its first estimate, and a sample with clock and power."""
        ...


def measure(
    probe: Probe,
    kernels: Kernels,
    gpu: Gpu,
    plan: Plan,
    seed: str,
    watcher: Watcher | None = None,
    known: Sequence[Rejection] = (),
) -> Result:
    """Measure one probe. A kernel that failed the gate or computed something wrong gives a Rejection, no number.

    ``seed`` decides the order within rounds and the operands; ``known`` are points rejected when a recording was made.
    """
    log = Log(rejections=list(known))
    for point in probe.points(plan.mode, gpu.device):
        kernel = kernels[probe.name, defines_key(probe.defines_of(point))]
        if not kernel.ok:
            log.reject(probe, kernel.params, "; ".join(kernel.verdict.reasons))
        elif not any(rejection.params.items() <= dict(point.params).items() for rejection in known):
            log.kernels[point] = kernel
    shuffle = random.Random(f"{seed}/{probe.name}")
    _warm(probe, log, gpu)
    begin = time.perf_counter()
    replayed = gpu.source == "replay"  # the time that replaying takes must not decide how many samples are used
    while log.kernels and not _enough(probe, log, plan, 0.0 if replayed else time.perf_counter() - begin):
        try:
            taken = _round(probe, log, gpu, shuffle)
        except Exhausted:
            break
        estimates = probe.estimate(taken)
        log.rounds.append(estimates)
        if watcher and estimates:
            sample = next(iter(taken.values()))
            watcher.round(probe, len(log.rounds), plan.stop.max_samples, estimates[0], sample)
    _repeat_first(probe, log, gpu, shuffle)
    return judge(probe, log, gpu, _rule(probe, plan))


def _warm(probe: Probe, log: Log, gpu: Gpu) -> None:
    """Discarded rounds: caches, clocks and power settle. A recording holds none, so none is played."""
    if gpu.source == "replay" or probe.rounds:
        return
    begin = time.perf_counter()
    for _ in range(WARM_ROUNDS):
        for point, kernel in list(log.kernels.items()):
            try:
                gpu.run(_job(probe, point, kernel, seed=1))
            except OutOfMemory as error:
                log.reject(probe, dict(point.params), str(error))
                del log.kernels[point]
    while log.kernels and (time.perf_counter() - begin) * 1e3 < probe.warm_ms:
        point, kernel = next(iter(log.kernels.items()))
        gpu.run(_job(probe, point, kernel, seed=1))


def _round(probe: Probe, log: Log, gpu: Gpu, shuffle: random.Random) -> Round:
    order = list(log.kernels)
    shuffle.shuffle(order)
    taken: dict[Point, Sample] = {}
    for point in order:
        sample = _sample(probe, point, log, gpu, _seed(probe, len(log.rounds), shuffle))
        if sample is not None:
            taken[point] = sample
    for point, sample in taken.items():  # only whole rounds are kept: a round cut short by Exhausted leaves no trace
        log.samples[point].append(sample)
    return {point: taken[point] for point in log.kernels if point in taken}


def _sample(probe: Probe, point: Point, log: Log, gpu: Gpu, seed: int, *, repeat: bool = False) -> Sample | None:
    job = _job(probe, point, log.kernels[point], seed, repeat=repeat)
    outcome = gpu.run(job)
    sample = outcome.sample
    reason, left_out = None, False
    if outcome.out is not None:
        if probe.check is not None:
            reason = probe.check(point, job.seed, outcome.out)
        if reason is None and probe.reduce is not None:  # what is wrong need not have the shape that is reduced
            sample = replace(sample, values={**sample.values, **probe.reduce(point, outcome.out)})
        sample = sample.rounded()  # so that a replay of the file gives the very same numbers
    if reason is None and probe.refuse is not None:
        reason = probe.refuse(point, sample)
        left_out = True
    if reason is not None:
        log.reject(probe, dict(point.params), reason, left_out=left_out)
        return None
    return sample


def _seed(probe: Probe, number: int, shuffle: random.Random) -> int:
    """The seed of a sample in round ``number``: one for all points of the round where they are paired."""
    return 1 + PAIR_STRIDE * number if probe.paired else shuffle.randrange(1, 2**31)


def _job(probe: Probe, point: Point, kernel: Kernel, seed: int, *, repeat: bool = False) -> Job:
    assert kernel.cubin is not None
    return Job(
        probe=probe.name,
        point=point,
        cubin=kernel.cubin.data,
        kernel=kernel.cubin.key,
        entry=probe.entry,
        prepare=probe.prepare,
        method=probe.method,
        seed=0 if point.zero else seed,
        out_words=probe.out_words,
        repeat=repeat,
    )


def _enough(probe: Probe, log: Log, plan: Plan, elapsed: float) -> bool:
    """Whether every quantity not yet rejected has met the stopping rule; at the most rounds where there is none."""
    if probe.rounds:
        return len(log.rounds) >= probe.rounds
    found = log.estimates().values()
    if not found or len(log.rounds) >= plan.stop.max_samples:
        return len(log.rounds) >= plan.stop.max_samples
    rejected = log.wrong()
    open_ = [row for row in found if not any(covers(row[0].params, params) for params in rejected)]
    return all(plan.stop.done([estimate.value for estimate in row], elapsed) is not None for row in open_)


def _rule(probe: Probe, plan: Plan) -> StopRule:
    """The rule that a probe's values are judged by: the plan's, or that of its fixed number of rounds."""
    if not probe.rounds:
        return plan.stop
    return replace(plan.stop, relative_width=probe.width, min_samples=1, max_samples=max(1, probe.rounds))


def _repeat_first(probe: Probe, log: Log, gpu: Gpu, shuffle: random.Random) -> None:
    """The drift check: the first configuration once more at the end, in the company and with the seeds it had before.

    After itself instead of after another configuration it finds other lines in L2 (1.3 % less of a cold pass seen).
    """
    first, *others = log.kernels or (None,)
    if first is None or not log.rounds or probe.rounds:
        return
    for repeat in range(DRIFT_REPEATS):
        seed = _seed(probe, repeat, shuffle)
        if others and gpu.source != "replay":
            before = shuffle.choice(others)
            gpu.run(_job(probe, before, log.kernels[before], seed))
        try:
            sample = _sample(probe, first, log, gpu, seed, repeat=True)
        except Exhausted:
            return
        if sample is not None:
            log.repeats[first].append(sample)
