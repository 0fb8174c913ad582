"""Control flow in a stretch of SASS: branches, loops and what counts their turns, ways around what is to be timed."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise

from gpuprobe.sass import Instruction

_LOOP_ARITHMETIC = {"R2UR"} | {
    f"{unit}{stem}"
    for unit in ("", "U")
    for stem in ("IADD", "IADD3", "VIADD", "ISETP", "IMAD", "PLOP3", "LEA", "LOP3", "SEL")
}

LEAVES = ("EXIT", "RET", "BRX", "BRXU", "JMX", "JMXU")
"""What ends a kernel or subroutine, or goes nobody knows where."""


def executed(region: Sequence[Instruction]) -> list[Instruction]:
    """The region in the order it runs, every backward branch taken once, so that loop-carried links appear."""
    index = {instruction.address: place for place, instruction in enumerate(region)}
    order: list[Instruction] = []
    taken: set[int] = set()
    place = 0
    while place < len(region):
        instruction = region[place]
        place += 1
        if instruction.never_executes:
            continue
        order.append(instruction)
        goes = instruction.target if is_branch(instruction) else None
        if goes is None or goes not in index or instruction.address in taken:
            continue
        backward = goes <= instruction.address
        if backward or _is_unconditional(instruction):
            taken.add(instruction.address)
            place = index[goes]
    return order


def is_branch(instruction: Instruction) -> bool:
    """A jump of ordinary flow, also in the guise of a CALL into the function itself (ptxas ends long loops so).

    BRA.DIV is none: it only leaves for the slow path of a diverged warp.
    """
    jumps = instruction.stem in {"BRA", "JMP", "CALL"} and instruction.target is not None
    return jumps and ".DIV" not in instruction.opcode and not instruction.never_executes


def loops(region: Sequence[Instruction]) -> list[tuple[Instruction, ...]]:
    """Loop bodies inside the region, each from the target of a backward branch to that branch."""
    first = region[0].address if region else 0
    return [
        tuple(i for i in region if branch.target <= i.address <= branch.address)
        for branch in region
        if is_branch(branch) and branch.target is not None and first <= branch.target <= branch.address
    ]


def loop_control(region: Sequence[Instruction]) -> frozenset[int]:
    """Addresses of what only counts a loop's turns: its branch depends on it and nothing else reads it."""
    return frozenset(address for body in loops(region) for address in _counter(body))


def _counter(body: Sequence[Instruction]) -> set[int]:
    needed = {name for i in body if is_branch(i) for name in i.sources}
    slice_: dict[int, Instruction] = {}
    grew = True
    while grew:
        fresh = [
            instruction
            for instruction in body
            if instruction.address not in slice_
            and instruction.stem in _LOOP_ARITHMETIC
            and needed.intersection(instruction.destinations)
        ]
        grew = bool(fresh)
        for instruction in fresh:
            slice_[instruction.address] = instruction
            needed.update(instruction.sources)
    return _unread_elsewhere(body, slice_)


def _unread_elsewhere(body: Sequence[Instruction], slice_: Mapping[int, Instruction]) -> set[int]:
    kept = dict(slice_)
    while True:
        readers = [i for i in body if i.address not in kept and not is_branch(i) and not i.never_executes]
        read = {name for i in readers for name in i.sources}
        used = [address for address, i in kept.items() if read.intersection(i.destinations)]
        if not used:
            return set(kept)
        for address in used:
            del kept[address]


def reached(code: Sequence[Instruction], start: int, avoiding: Container[int]) -> frozenset[int]:
    """Addresses of ``code`` that can run after the instruction at ``start`` without any of ``avoiding`` running.

    ``start`` is among them where a way leads back to it. Jumps through a register lead nowhere known.
    """
    index = {i.address: i for i in code}
    following = {i.address: later.address for i, later in pairwise(code)}
    found: set[int] = set()
    open_ = [start]
    while open_:
        instruction = index[open_.pop()]
        for address in _successors(instruction, following.get(instruction.address), index):
            if address not in found and address not in avoiding:
                found.add(address)
                open_.append(address)
    return frozenset(found)


def _successors(instruction: Instruction, following: int | None, index: Container[int]) -> Iterator[int]:
    """Where an instruction leads: to a branch's target within ``index``, and on, where it neither jumps nor ends."""
    jumps = is_branch(instruction)
    if jumps and instruction.target is not None and instruction.target in index:
        yield instruction.target
    returns = instruction.stem == "CALL" and instruction.target not in index
    ends = (jumps and not returns) or (instruction.stem in LEAVES and not instruction.never_executes)
    if following is not None and not (ends and _is_unconditional(instruction)):
        yield following


def _is_unconditional(instruction: Instruction) -> bool:
    return instruction.predicate is None and len(instruction.operands) <= 1
