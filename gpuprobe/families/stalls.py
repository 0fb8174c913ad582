"""Chains whose stall counts are patched: what is rewritten, what may come out, and the least count that is right."""

from __future__ import annotations

from gpuprobe.estimate import Estimate, Point, Round, latency
from gpuprobe.families.instructions import outcome
from gpuprobe.families.links import LINKS
from gpuprobe.operands import words
from gpuprobe.record import Sample
from gpuprobe.sass import Function, Instruction
from gpuprobe.sass.patch import Change, patched, timed

SAFE = 11
"""A stall count that is enough for any fixed latency here."""


def links(kernel: Function, stem: str) -> list[Instruction]:
    """The links of a kernel's chain: instructions of ``stem`` that read what they write."""
    return [i for i in timed(kernel, stem) if i.destinations and i.destinations[0] in i.sources]


def with_stalls(cubin: bytes, stem: str, stall: int, opcode: int | None = None) -> bytes:
    """``cubin`` with one stall count, and one opcode where given, in every link."""
    change = Change(stall=stall, opcode=opcode)
    return patched(cubin, "probe", lambda kernel: {i.address: change for i in links(kernel, stem)})


def right(name: str, steps: int, out: bytes) -> bool:
    """Whether a chain of ``steps`` links ends where the host's does."""
    found = words(out)[:4]
    return (int(found[1]) << 32 | int(found[0])) == outcome(LINKS[name], steps)[0]


def check(name: str, point: Point, out: bytes) -> str | None:
    """Reason where the loop did not run to its end, or a long stall count gives a wrong result; a short one may."""
    turns = int(words(out)[3])
    if turns != point.iters:
        return f"{turns} turns of the loop instead of {point.iters}"
    steps = point.iters * int(point["CHAIN"])
    if point.number("STALL") < SAFE or right(name, steps, out):
        return None
    return f"wrong even with a stall count of {point['STALL']}"


def estimate(round_: Round) -> list[Estimate]:
    """Cycles for each link by stall count (``issue``), and the least count that is right for both lengths of chain."""
    found = latency(quantity="issue")(round_)
    good: dict[tuple[object, float], list[Sample]] = {}
    for point, sample in round_.items():
        if sample.values.get("right", 0.0) == 1.0:
            good.setdefault((point["OP"], point.number("STALL")), []).append(sample)
    for name in dict.fromkeys(point["OP"] for point in round_):
        stalls = [stall for (op, stall), samples in good.items() if op == name and len(samples) > 1]
        if stalls:
            sample = good[name, min(stalls)][0]
            found.append(Estimate("fixed_latency", {"OP": name}, "cycle", float(min(stalls)), sample))
    return found
