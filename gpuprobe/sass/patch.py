"""Rewrites fields of machine instructions inside a cubin: stall counts, operand reuse, source registers.

A cubin is changed in place, instruction by instruction, and nothing else of it moves. The control codes are the bits
105-125 that ``sass.Control`` decodes; the registers of a three-operand arithmetic instruction of sm_70 and later are
bytes: the result at bits 16-23, the first source at 24-31, the second at 32-39, the third at 64-71. What was written
is read back with nvdisasm by whoever patches (and by the tests).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.sass import Function, Instruction, disassemble, elf

_BYTES = 16
_CONTROL = 105
_STALL, _YIELD, _REUSE = 0, 4, 17
_SOURCES = (24, 32, 64)
_MOST_STALL, _MOST_REUSE, _REGISTERS = 15, 15, 255


@dataclass(frozen=True, slots=True)
class Change:
    """What to write into one instruction; None leaves a field as it is.

    ``opcode`` the lowest 12 bits, ``stall`` cycles (0-15), ``may_switch`` whether the scheduler may take another warp,
    ``reuse`` bits of the operand slots, ``sources`` register numbers of the three source slots.
    """

    stall: int | None = None
    may_switch: bool | None = None
    reuse: int | None = None
    sources: tuple[int | None, int | None, int | None] = (None, None, None)
    opcode: int | None = None

    def of(self, encoding: int) -> int:
        """The 128-bit ``encoding`` with the changes in it; GpuprobeError where a value does not fit its field."""
        if self.opcode is not None:
            encoding = _field(encoding, 0, 12, self.opcode, 0xFFF)
        if self.stall is not None:
            encoding = _field(encoding, _CONTROL + _STALL, 4, self.stall, _MOST_STALL)
        if self.may_switch is not None:
            encoding = _field(encoding, _CONTROL + _YIELD, 1, 0 if self.may_switch else 1, 1)
        if self.reuse is not None:
            encoding = _field(encoding, _CONTROL + _REUSE, 4, self.reuse, _MOST_REUSE)
        for place, register in zip(_SOURCES, self.sources, strict=True):
            if register is not None:
                encoding = _field(encoding, place, 8, register, _REGISTERS)
        return encoding


Choose = Callable[[Function], dict[int, Change]]
"""From a kernel to the changes wanted, by the address of the instruction."""


def patched(cubin: bytes, entry: str, choose: Choose) -> bytes:
    """``cubin`` with the changes ``choose`` asks for in the kernel ``entry``; GpuprobeError where there is none."""
    kernel = next((f for f in _functions(cubin) if f.entry and f.name == entry), None)
    if kernel is None:
        raise GpuprobeError(f"there is no kernel '{entry}' to patch", "name an entry of the cubin", Exit.CHECK_FAILED)
    section = next(text for text in elf.read(cubin).texts if text.name == kernel.section)
    start = cubin.find(section.code)
    if start < 0 or cubin.find(section.code, start + 1) >= 0:
        raise GpuprobeError(f"the code of '{entry}' is not there once", "build it again", Exit.CHECK_FAILED)
    data = bytearray(cubin)
    at = {instruction.address: instruction for instruction in kernel.instructions}
    for address, change in choose(kernel).items():
        new = change.of(at[address].encoding)
        data[start + address : start + address + _BYTES] = new.to_bytes(_BYTES, "little")
    return bytes(data)


@lru_cache(maxsize=64)  # one cubin is patched in many ways, and a disassembly costs half a second
def _functions(cubin: bytes) -> tuple[Function, ...]:
    return disassemble(cubin)


def timed(kernel: Function, opcode: str) -> list[Instruction]:
    """Instructions of ``opcode`` (its stem) between the first and the last clock read of a kernel, in order."""
    reads = [place for place, i in enumerate(kernel.instructions) if i.reads_clock]
    body = kernel.instructions[reads[0] : reads[-1]] if reads else kernel.instructions
    return [i for i in body if i.stem == opcode and not i.never_executes]


def _field(encoding: int, place: int, width: int, value: int, most: int) -> int:
    if not 0 <= value <= most:
        raise GpuprobeError(f"{value} does not fit a field of {width} bits", f"give 0 to {most}", Exit.WRONG_USE)
    mask = (1 << width) - 1
    return encoding & ~(mask << place) | value << place
