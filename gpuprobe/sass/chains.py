"""Dependency chains in a stretch of SASS: does each instruction wait for the one before it, also across loop turns?"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field

from gpuprobe.sass import Instruction
from gpuprobe.sass.flow import executed
from gpuprobe.sass.opcodes import is_move, matches, matches_any


@dataclass(frozen=True)
class Chain:
    """``width`` independent chains of ``opcode``, each through the first result register of every link.

    ``via`` names the opcodes a result may pass through on its way to the next link (``MOV``, ``IMAD.WIDE``).
    """

    opcode: str
    width: int = 1
    via: tuple[str, ...] = ()


@dataclass(slots=True)
class _Value:
    """What a register holds: the result of link ``position`` of ``chain``, spoilt by an opcode outside ``via``."""

    chain: int
    position: int
    spoilt_by: Instruction | None = None


@dataclass(slots=True)
class _Walk:
    """The state after some instructions: links of each chain so far, what registers hold, broken links."""

    links: list[list[Instruction]] = field(default_factory=list)
    values: dict[str, list[_Value]] = field(default_factory=dict)
    order: list[Instruction] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)


def broken(region: Sequence[Instruction], chain: Chain, core: Container[int]) -> tuple[str, ...]:
    """Why the region does not hold the chains asked for (empty where it does); links lie at the addresses ``core``."""
    walk = _Walk()
    for instruction in executed(region):
        if is_link(instruction, chain) and instruction.address in core:
            _link(walk, instruction, chain)
        else:
            _carry(walk, instruction, chain)
    return (*_summary(walk.breaks), *_shape(walk, chain))


def is_link(instruction: Instruction, chain: Chain) -> bool:
    """Whether the instruction is a link of the chain."""
    return matches(instruction.opcode, chain.opcode) and ("MOV" in chain.opcode or not is_move(instruction))


def _link(walk: _Walk, instruction: Instruction, chain: Chain) -> None:
    """Append a link to the chain whose last result it reads; note it as broken where it reads none, or another's."""
    read = [value for name in instruction.sources for value in walk.values.get(name, ())]
    if not read and len(walk.links) < chain.width and instruction.address not in walk.seen:
        walk.links.append([])
        number = len(walk.links) - 1
    else:
        number, reason = _continued(walk, read, chain.width)
        if reason:
            again = " in the next turn of the loop" if instruction.address in walk.seen else ""
            walk.breaks.append(f"{instruction} {reason}{again}")
    links = walk.links[number]
    links.append(instruction)
    walk.order.append(instruction)
    walk.seen.add(instruction.address)
    _write(walk, instruction, [_Value(number, len(links) - 1)])


def _continued(walk: _Walk, read: Sequence[_Value], width: int) -> tuple[int, str]:
    """The chain that a link reading ``read`` continues, and what is wrong with that ("" for the last result of one)."""
    tails = [value for value in read if value.position == len(walk.links[value.chain]) - 1]
    clean = sorted({value.chain for value in tails if value.spoilt_by is None})
    if clean:
        joined = f"joins two chains: it also reads {walk.links[clean[1]][-1]}" if len(clean) > 1 else ""
        return clean[0], joined
    if tails and (spoiler := tails[0].spoilt_by):
        number = tails[0].chain
        return number, f"reads the result of {walk.links[number][-1]} through {spoiler}"
    if read:
        links, place = walk.links[read[0].chain], read[0].position
        return read[0].chain, f"reads the result of {links[place]}, as {links[place + 1]} did before"
    before = walk.order[-min(width, len(walk.order))]
    number = next(number for number, links in enumerate(walk.links) if before in links)
    return number, f"does not read the result of {before}"


def _carry(walk: _Walk, instruction: Instruction, chain: Chain) -> None:
    """Pass on what the instruction's sources hold; an opcode outside ``via`` spoils it."""
    spoiler = None if matches_any(instruction.opcode, chain.via) else instruction
    read = [value for name in instruction.sources for value in walk.values.get(name, ())]
    _write(walk, instruction, [_Value(value.chain, value.position, value.spoilt_by or spoiler) for value in read])


def _write(walk: _Walk, instruction: Instruction, values: list[_Value]) -> None:
    """The first result register now holds ``values``, the others nothing; under a guard the old may have stayed."""
    for place, name in enumerate(instruction.destinations):
        kept = walk.values.get(name, []) if instruction.predicate else []
        walk.values[name] = [*kept, *values] if place == 0 else kept


def _summary(breaks: Sequence[str]) -> tuple[str, ...]:
    if len(breaks) > 1:
        return (f"broken chain: {breaks[0]} (and {len(breaks) - 1} more broken links)",)
    return tuple(f"broken chain: {reason}" for reason in breaks)


def _shape(walk: _Walk, chain: Chain) -> tuple[str, ...]:
    """Complaint about the number of chains, or about chains of unequal length where every link is sound."""
    if len(walk.links) != chain.width:
        return (f"number of {chain.opcode} chains: {len(walk.links)} instead of {chain.width}",)
    lengths = sorted({len(links) for links in walk.links})
    if len(lengths) > 1 and not walk.breaks:
        return (f"chains of {chain.opcode} of unequal length: {lengths[0]} to {lengths[-1]} links",)
    return ()
