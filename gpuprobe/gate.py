"""The SASS gate: no number from a kernel whose machine code, between its clock reads, is not what is to be timed.

It reads what the compiler made: work that was hoisted, merged, deleted, spilled or replaced by an emulation is found
here and named, before anything runs.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache as memoise
from pathlib import Path
from typing import Literal, Protocol

from gpuprobe import cache
from gpuprobe.sass import Function, Instruction, chains, disassemble, disassemble_many, flow, nvdisasm_version
from gpuprobe.sass.chains import Chain
from gpuprobe.sass.opcodes import is_arithmetic, is_move, listed, matches, matches_any, pipe

__all__ = ["FORBIDDEN", "Chain", "Expect", "Job", "Verdict", "check", "check_cached", "check_many"]

Label = Literal["native", "emulated"]

FORBIDDEN = ("LDL", "STL", "CALL")
_ROOMS = ("__init__", "chains", "elf", "flow", "opcodes", "registers")
_SOURCES = ("gate.py", *(f"sass/{name}.py" for name in _ROOMS))


@dataclass(frozen=True)
class Expect:
    """What must stand between the first and the last clock read of a kernel.

    ``counts``: exact number of instructions per opcode pattern (static: a loop body counts once; moves and loop
    counters do not count). ``chain``: their dependency. ``loop``: they must lie in a loop. ``forbid``: opcodes that
    must not be there. ``native``: opcodes that make the kernel native (default: the patterns of ``counts``).
    ``allow_emulated``: accept an emulation, labelled. ``allow``: further opcodes of the same pipe that may be there.
    ``moves``: most register moves on the same pipe. ``clock_reads``: reads of the cycle counter in the kernel.
    ``predicated``: counted instructions may be guarded, jumped over, or stand around the loop as well. ``timed``
    False: no clock reads are asked for and the whole kernel is looked at.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    chain: Chain | None = None
    loop: bool = False
    forbid: tuple[str, ...] = FORBIDDEN
    native: tuple[str, ...] = ()
    allow_emulated: bool = False
    allow: tuple[str, ...] = ()
    moves: int = 2
    clock_reads: int = 2
    predicated: bool = False
    timed: bool = True


@dataclass(frozen=True)
class Verdict:
    """Whether numbers may be taken from a kernel, and why not; ``counts`` holds every opcode of the timed region."""

    ok: bool
    label: Label | None
    counts: Mapping[str, int]
    reasons: tuple[str, ...]

    @classmethod
    def failed(cls, reason: str) -> Verdict:
        """The verdict on a kernel that could not even be looked at."""
        return cls(False, None, {}, (reason,))


@dataclass(frozen=True)
class Job:
    """One kernel of a cubin and what is expected of it."""

    entry: str
    expect: Expect


class HasCode(Protocol):
    """Anything with machine code (a ``build.Cubin``)."""

    @property
    def data(self) -> bytes:
        """The cubin."""


@dataclass(frozen=True)
class _Region:
    """The timed part of ``kernel`` and, in ``core``, what of it is under test.

    ``core`` is the loop (or loops) with the expected instructions, else all: operands set up once before a loop cost a
    constant, which a slope cancels. Loop counters and padding are left out. ``callees`` has a subroutine for each call.
    """

    kernel: Function
    body: tuple[Instruction, ...]
    core: tuple[Instruction, ...]
    callees: tuple[Function, ...]


def check_cached(cubin: HasCode, entry: str, expect: Expect) -> Verdict:
    """Verdict on the kernel ``entry`` of ``cubin``, from the cache where this code met this expectation before."""
    return check_many([(cubin, Job(entry, expect))])[0]


def check_many(jobs: Sequence[tuple[HasCode, Job]]) -> list[Verdict]:
    """Verdicts in the order given; those not cached share one disassembly, which costs as much as a single one."""
    keys = [_key(cubin.data, job) for cubin, job in jobs]
    verdicts = [_loaded(key) for key in keys]
    missing = [place for place, verdict in enumerate(verdicts) if verdict is None]
    functions = disassemble_many([jobs[place][0].data for place in missing]) if missing else []
    for place, found in zip(missing, functions, strict=True):
        verdict = check(found, jobs[place][1].entry, jobs[place][1].expect)
        cache.store("verdict", keys[place], json.dumps(asdict(verdict)).encode())
        verdicts[place] = verdict
    return [verdict for verdict in verdicts if verdict is not None]


def check(code: Sequence[Function] | bytes, entry: str, expect: Expect) -> Verdict:
    """Verdict on the kernel ``entry`` of a cubin or of its disassembly."""
    functions = disassemble(code) if isinstance(code, bytes) else code
    kernel = next((f for f in functions if f.entry and f.name == entry), None)
    if kernel is None:
        present = ", ".join(f.name for f in functions if f.entry) or "none"
        return Verdict.failed(f"there is no kernel '{entry}' in the cubin (kernels: {present})")
    reads = [place for place, i in enumerate(kernel.instructions) if i.reads_clock and not i.never_executes]
    if expect.timed and len(reads) != expect.clock_reads:
        return Verdict.failed(f"{len(reads)} clock reads instead of {expect.clock_reads}")
    body = kernel.instructions[reads[0] : reads[-1] + 1] if expect.timed and reads else kernel.instructions
    region = _Region(kernel, body, _core(body, tuple(expect.counts)), _callees(body, functions, kernel))
    return _judged(region, expect)


def _core(body: Sequence[Instruction], patterns: Sequence[str]) -> tuple[Instruction, ...]:
    """The innermost loops with expected instructions, or the whole body; without loop counters and padding."""
    control = flow.loop_control(body)
    running = [i for i in body if not i.never_executes and i.address not in control]
    expected = {i.address for pattern in patterns for i in _fitting(running, pattern)}
    inner = [(loop[0].address, loop[-1].address) for loop in _inner_loops(body, expected)]
    return tuple(i for i in running if not inner or any(low <= i.address <= high for low, high in inner))


def _inner_loops(body: Sequence[Instruction], holding: Container[int]) -> list[tuple[Instruction, ...]]:
    """The loops with an address of ``holding`` in them, less those that hold another such loop."""
    spans = [(loop[0].address, loop[-1].address, loop) for loop in flow.loops(body)]
    found = [span for span in spans if any(i.address in holding for i in span[2])]
    return [a[2] for a in found if not any(a != b and a[0] <= b[0] and b[1] <= a[1] for b in found)]


def _unlooped(region: _Region, expect: Expect) -> list[str]:
    """Complaint where the loop around the expected instructions is gone: every turn did the same, so one was kept."""
    held = _looped(region)
    free = [i for i in _expected(region, expect) if i.address not in held]
    return [f"{free[0]} is in no loop: the compiler removed it"] if expect.loop and free else []


def _looped(region: _Region) -> frozenset[int]:
    """Addresses in loops of the region."""
    return frozenset(i.address for loop in flow.loops(region.body) for i in loop)


def _judged(region: _Region, expect: Expect) -> Verdict:
    counts = dict(Counter(i.opcode for i in region.body if not i.never_executes))
    emulation = _emulation(region, expect)
    reasons = _flow(region) if expect.timed else []
    if emulation:
        reasons += _merged(region, expect) if expect.allow_emulated else [emulation]
        forbid = tuple(pattern for pattern in expect.forbid if pattern != "CALL")
        reasons += _forbidden(region, forbid if expect.allow_emulated else expect.forbid)
        return Verdict(not reasons, "emulated", counts, tuple(reasons))
    reasons += _forbidden(region, expect.forbid)
    reasons += _miscounted(region, expect) + _around(region, expect) + _guarded(region, expect)
    reasons += _skipped(region, expect) + _idle_turns(region, expect) + _unlooped(region, expect)
    reasons += _same_pipe(region, expect) if expect.timed else []
    if expect.chain is not None:
        reasons += chains.broken(region.body, expect.chain, {i.address for i in region.core})
    native = bool(expect.counts) and not _miscounted(region, expect)
    return Verdict(not reasons, "native" if native else None, counts, tuple(reasons))


def _fitting(instructions: Sequence[Instruction], pattern: str) -> list[Instruction]:
    return [i for i in instructions if matches(i.opcode, pattern) and ("MOV" in pattern or not is_move(i))]


def _callees(body: Sequence[Instruction], functions: Sequence[Function], kernel: Function) -> tuple[Function, ...]:
    """Subroutines the region calls, one for each call site."""
    starts = {f.instructions[0].address: f for f in functions if f.section == kernel.section and f.instructions}
    called = [starts[i.target] for i in body if i.stem == "CALL" and i.target in starts]
    return tuple(function for function in called if function is not kernel)


def _flow(region: _Region) -> list[str]:
    """Jumps out of the timed region, to its first clock read, or into it past that read.

    A call of a subroutine comes back and is a matter of what is forbidden.
    """
    first, last = region.body[0].address, region.body[-1].address
    reasons = []
    for i in region.body:
        outside = i.target is not None and not first <= i.target <= last and not _calls(region.kernel, i)
        if i.stem in flow.LEAVES or (flow.is_branch(i) and outside):
            goes = f" for 0x{i.target:x}" if i.target is not None else ""
            reasons.append(f"{i} leaves the timed region{goes}")
        elif flow.is_branch(i) and i.target == first:
            reasons.append(f"{i} goes back to the first clock read: only the last turn is timed")
    again = flow.reached(region.kernel.instructions, last, {first}).intersection(i.address for i in region.body)
    if again:
        reasons.append(f"the timed region runs again from 0x{min(again):x} without its first clock read")
    return reasons


def _calls(kernel: Function, instruction: Instruction) -> bool:
    """Whether a subroutine is called: a CALL into the kernel itself is a jump."""
    first, last = kernel.instructions[0].address, kernel.instructions[-1].address
    return instruction.stem == "CALL" and not (instruction.target is not None and first <= instruction.target <= last)


def _forbidden(region: _Region, forbid: Sequence[str]) -> list[str]:
    running = [i for i in region.body if not i.never_executes and (i.stem != "CALL" or _calls(region.kernel, i))]
    callees = [i for function in region.callees for i in function.instructions]
    found = [i for i in [*running, *callees] if matches_any(i.opcode, forbid)]
    return [f"forbidden: {listed(i.opcode for i in found)} (first: {found[0]})"] if found else []


def _miscounted(region: _Region, expect: Expect) -> list[str]:
    """Patterns whose count is not the one expected, with what became of the rest as far as the code shows."""
    inside = {i.address for i in region.core}
    elsewhere = [i for i in region.kernel.instructions if i.address not in inside]
    reasons = []
    for pattern, expected in expect.counts.items():
        count, outside = len(_fitting(region.core, pattern)), len(_fitting(elsewhere, pattern))
        if count != expected:
            moved = f"; {outside} outside the timed loop or region" if outside else ""
            fate = "; the others were deleted, merged or replaced" if count + outside < expected else ""
            reasons.append(f"{count} {pattern} instead of {expected}{moved}{fate}")
    return reasons


def _around(region: _Region, expect: Expect) -> list[str]:
    """More of the expected instructions in a loop around the one looked at: nobody counts how often they run."""
    if expect.predicated:
        return []
    looped = _looped(region) - {i.address for i in region.core} - flow.loop_control(region.body)
    outer = [i for i in region.body if i.address in looped and not i.never_executes]
    more = {pattern: len(_fitting(outer, pattern)) for pattern in expect.counts}
    return [f"{count} more {pattern} in a loop around the timed one" for pattern, count in more.items() if count]


def _guarded(region: _Region, expect: Expect) -> list[str]:
    guarded = [i for i in _expected(region, expect) if i.predicate and not expect.predicated]
    return [f"{guarded[0]} runs only under {guarded[0].predicate} ({len(guarded)} such)"] if guarded else []


def _idle_turns(region: _Region, expect: Expect) -> list[str]:
    """Loops whose turns may go by without any of the expected instructions: a condition or a ``continue`` in them."""
    if expect.predicated:
        return []
    expected = {i.address for i in _expected(region, expect)}
    loops = _inner_loops(region.body, expected)
    idle = [loop[0] for loop in loops if loop[0].address not in expected and _goes_round(loop, expected)]
    return [f"a turn of the loop at 0x{first.address:x} may pass by the expected instructions" for first in idle]


def _goes_round(loop: Sequence[Instruction], avoiding: Container[int]) -> bool:
    """Whether a way leads from the loop's head back to it that avoids what must run."""
    return loop[0].address in flow.reached(loop, loop[0].address, avoiding)


def _skipped(region: _Region, expect: Expect) -> list[str]:
    """Forward branches around expected instructions, which may then not run (only a loop's guard may skip all)."""
    places = [i.address for i in _expected(region, expect)]
    looped = _looped(region).issuperset(places)
    reasons = []
    for i in region.body:
        if flow.is_branch(i) and i.target is not None and i.target > i.address and not expect.predicated:
            skipped = sum(i.address < place < i.target for place in places)
            if skipped and not (looped and skipped == len(places)):
                reasons.append(f"{i} may skip {skipped} of {len(places)} expected instructions")
    return reasons


def _expected(region: _Region, expect: Expect) -> list[Instruction]:
    found = {i.address: i for pattern in expect.counts for i in _fitting(region.core, pattern)}
    return [found[address] for address in sorted(found)]


def _same_pipe(region: _Region, expect: Expect) -> list[str]:
    """What else keeps the pipes under test busy: other opcodes, and more moves than operands need."""
    pipes = {pipe(pattern) for pattern in expect.counts} - {""}
    via = expect.chain.via if expect.chain else ()
    known = (*expect.counts, *expect.allow, *via)
    busy = [i for i in region.core if pipe(i.opcode) in pipes and not matches_any(i.opcode, known)]
    moves = [i for i in busy if is_move(i)]
    extras = [i for i in busy if not is_move(i)]
    reasons = [f"also on the pipe under test: {listed(i.opcode for i in extras)}"] if extras else []
    if len(moves) > expect.moves:
        reasons.append(f"{len(moves)} register moves on the pipe under test: {listed(i.opcode for i in moves)}")
    return reasons


def _emulation(region: _Region, expect: Expect) -> str:
    """Which other instructions do the work where no native one is left; "" where it is native, or was deleted.

    An emulation costs at least one instruction (or a call) for each native one: less than that is no emulation but code
    that was merged or deleted.
    """
    natives = expect.native or tuple(expect.counts)
    if not natives or any(_fitting(region.kernel.instructions, pattern) for pattern in natives):
        return ""
    inline = [i for i in region.core if is_arithmetic(i)]
    called = [i for f in region.callees for i in f.instructions if is_arithmetic(i)]
    if not called and len(inline) < max(sum(expect.counts.values()), 1):
        return ""
    calls = f" and {len(region.callees)} calls of {region.callees[0].name}" if region.callees else ""
    return f"emulated: no {' or '.join(natives)}, but {listed(i.opcode for i in inline) or 'no arithmetic'}{calls}"


def _merged(region: _Region, expect: Expect) -> list[str]:
    """Complaint where an accepted emulation does less than the work asked for."""
    expected = sum(expect.counts.values())
    if region.callees:
        short = len(region.callees) < expected
        return [f"{len(region.callees)} calls for {expected} emulated instructions: merged"] if short else []
    tensor = [i.opcode for i in region.core if pipe(i.opcode) == "tensor"]
    merged = 0 < len(tensor) < expected
    return [f"{listed(tensor)} for {expected} emulated instructions: merged"] if merged else []


def _key(data: bytes, job: Job) -> str:
    expect = json.dumps(asdict(replace(job.expect, counts=dict(job.expect.counts))), sort_keys=True)
    digest = hashlib.sha256(data).hexdigest()
    return hashlib.sha256("\0".join([digest, job.entry, expect, _version(), nvdisasm_version()]).encode()).hexdigest()


@memoise
def _version() -> str:
    """Digest of the gate's own source, so that no verdict outlives the rules that gave it."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _SOURCES)).hexdigest()


def _loaded(key: str) -> Verdict | None:
    payload = cache.load("verdict", key)
    if payload is None:
        return None
    document = json.loads(payload)
    return Verdict(document["ok"], document["label"], document["counts"], tuple(document["reasons"]))
