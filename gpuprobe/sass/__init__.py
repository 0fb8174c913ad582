"""SASS of a cubin as typed instructions: opcode, operands, registers, branch targets and the decoded control codes.

Starting nvdisasm costs 0.4-0.7 s of CPU time, reading code next to nothing: so the code sections of many cubins go into
one raw image and through one process. The control codes are bits 105-125 of the 128-bit encoding (sm_70 and later; the
layout of the maxas wiki and of arXiv:1903.07486), checked on compiler output of sm_80 to sm_120a.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.sass import elf
from gpuprobe.sass.registers import Effects, effects

NO_BARRIER = 7

_LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;")
_TEXT = re.compile(r"(?:@(\S+)\s+)?(\S+)\s*(.*)")
_SCHEDULING = re.compile(r"\s+[&?]\S.*$")
_ADDRESS = re.compile(r"(?:^|\s)0x([0-9a-f]+)$")
_JUMPS = ("BRA", "CALL", "JMP", "BSSY")
_INSTRUCTION_BYTES = 16
_FIRST_WITH_VARIANTS = 90
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Control:
    """Scheduling of one instruction: ``stall`` cycles before the next may issue, yield, scoreboards, operand reuse.

    ``yield_flag`` is True where the scheduler may switch warps: the stored bit is inverted (0 = yield), as in maxas and
    CuAssembler; the compiler clears it where it stalls and sets it between instructions issued back to back.
    ``write_barrier`` / ``read_barrier`` name the scoreboard (0-5) the instruction signals, ``NO_BARRIER`` (7) for none;
    ``wait_mask`` has a bit for each scoreboard waited on, ``reuse`` one for each operand slot kept in the reuse cache.
    """

    stall: int
    yield_flag: bool
    write_barrier: int
    read_barrier: int
    wait_mask: int
    reuse: int

    @classmethod
    def decode(cls, encoding: int) -> Control:
        """Control codes of a 128-bit instruction encoding."""
        bits = encoding >> 105
        return cls(
            stall=bits & 0xF,
            yield_flag=not bits >> 4 & 1,
            write_barrier=bits >> 5 & 0x7,
            read_barrier=bits >> 8 & 0x7,
            wait_mask=bits >> 11 & 0x3F,
            reuse=bits >> 17 & 0xF,
        )


@dataclass(frozen=True, slots=True)
class Instruction:
    """One SASS instruction; ``address`` and ``target`` in bytes from the start of its section.

    ``predicate`` is the guard without the ``@`` (``!P0``); ``target`` where a branch or call goes, None for one through
    a register.
    """

    address: int
    predicate: str | None
    opcode: str
    operands: tuple[str, ...]
    control: Control
    encoding: int
    target: int | None = None

    def __str__(self) -> str:
        return f"{self.opcode} at 0x{self.address:x}"

    @property
    def stem(self) -> str:
        """Opcode before the first dot: ``HMMA`` of ``HMMA.16816.F32``."""
        return self.opcode.partition(".")[0]

    @property
    def effects(self) -> Effects:
        """Registers and predicates read and written."""
        return effects(self.opcode, self.operands, self.predicate)

    @property
    def destinations(self) -> tuple[str, ...]:
        """Registers written, the base of a vector first, then its others (``R4``, ``R5``); predicates last."""
        return self.effects.written

    @property
    def sources(self) -> tuple[str, ...]:
        """Registers and predicates read; of a vector operand its base, of a ``.64`` address both halves."""
        return self.effects.read

    @property
    def never_executes(self) -> bool:
        """True for padding guarded by a constant false predicate (``@!UPT UIADD3``) and for NOP."""
        return self.predicate in {"!PT", "!UPT"} or self.stem == "NOP"

    @property
    def reads_clock(self) -> bool:
        """True where the instruction reads the SM's cycle counter."""
        return any(operand in {"SR_CLOCKLO", "SR_CLOCKHI"} for operand in self.operands)


@dataclass(frozen=True, slots=True)
class Function:
    """A kernel (``entry``) or a subroutine called by it, with its instructions in address order."""

    name: str
    section: str
    entry: bool
    instructions: tuple[Instruction, ...]


@cache
def find_nvdisasm() -> Path:
    """The disassembler: of the pip wheel, else of $CUDA_HOME, /usr/local/cuda or PATH; exit 3 where there is none."""
    for candidate in _candidates():
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate
    raise GpuprobeError(
        "nvdisasm, the CUDA disassembler, is not installed", "pip install nvidia-cuda-nvdisasm", Exit.MACHINE_LACKS
    )


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob("*/bin/nvdisasm"), reverse=True)
    for root in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        if root:
            yield Path(root) / "bin" / "nvdisasm"
    if found := shutil.which("nvdisasm"):
        yield Path(found)


@cache
def nvdisasm_version() -> str:
    """What tells this nvdisasm from another without running it: the wheel's version, else path, size and time."""
    from importlib import metadata  # noqa: PLC0415 - brings the e-mail parser along, 20 ms

    path = find_nvdisasm()
    if "site-packages" in path.parts or "dist-packages" in path.parts:
        for wheel in ("nvidia-cuda-nvdisasm", "nvidia-cuda-nvdisasm-cu12"):
            try:
                return f"{wheel} {metadata.version(wheel)}"
            except metadata.PackageNotFoundError:
                continue
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def disassemble(cubin: bytes) -> tuple[Function, ...]:
    """All functions of a cubin, section by section; GpuprobeError where it is damaged or nvdisasm is missing."""
    return disassemble_many([cubin])[0]


def disassemble_many(cubins: Sequence[bytes]) -> list[tuple[Function, ...]]:
    """Functions of each cubin, with one nvdisasm process for each compute capability among them."""
    images = [elf.read(cubin) for cubin in cubins]
    lines: dict[int, Iterator[Instruction]] = {
        capability: iter(_decoded(capability, [image for image in images if image.capability == capability]))
        for capability in sorted({image.capability for image in images})
    }
    return [
        tuple(function for text in image.texts for function in _functions(text, lines[image.capability]))
        for image in images
    ]


def _decoded(capability: int, images: Sequence[elf.Image]) -> list[Instruction]:
    """Every instruction of ``images`` in order, with addresses and targets counted from the start of its section."""
    codes = [text.code for image in images for text in image.texts]
    variant = "a" if capability >= _FIRST_WITH_VARIANTS else ""  # the flags do not tell sm_90 from sm_90a, its superset
    output = _nvdisasm(b"".join(codes), f"SM{capability}{variant}")
    texts = {int(match[1], 16): match[2] for line in output.splitlines() if (match := _LINE.match(line))}
    instructions = []
    base = 0
    for code in codes:
        for offset in range(0, len(code), _INSTRUCTION_BYTES):
            encoding = int.from_bytes(code[offset : offset + _INSTRUCTION_BYTES], "little")
            instructions.append(decode(texts.get(base + offset, ""), encoding, offset, base))
        base += len(code)
    return instructions


def _nvdisasm(code: bytes, architecture: str) -> str:
    try:
        with tempfile.NamedTemporaryFile(prefix="gpuprobe-", suffix=".bin") as file:
            file.write(code)
            file.flush()
            command = [str(find_nvdisasm()), "-b", architecture, file.name]
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise GpuprobeError(
            f"cannot disassemble: {error}", "check the temporary folder (TMPDIR)", Exit.MACHINE_LACKS
        ) from error
    if done.returncode:
        message = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise GpuprobeError(
            f"nvdisasm cannot read this {architecture} code: {message or f'exit status {done.returncode}'}",
            "pip install --upgrade nvidia-cuda-nvdisasm",
            Exit.MACHINE_LACKS,
        )
    return done.stdout.decode(errors="replace")


def decode(text: str, encoding: int, address: int, base: int = 0) -> Instruction:
    """One instruction from nvdisasm's text and its encoding; ``base``: where its section starts in jump targets."""
    match = _TEXT.match(_SCHEDULING.sub("", text))
    if match is None:
        raise GpuprobeError(
            f"nvdisasm shows nothing at 0x{address:x}",
            "pip install --upgrade nvidia-cuda-nvdisasm",
            Exit.CHECK_FAILED,
        )
    opcode = match[2]
    operands = tuple(re.split(r",\s*", match[3])) if match[3] else ()
    goes = _ADDRESS.search(operands[-1]) if operands and opcode.startswith(_JUMPS) else None
    target = int(goes[1], 16) - base if goes else None
    return Instruction(address, match[1], opcode, operands, Control.decode(encoding), encoding, target)


def _functions(text: elf.Text, instructions: Iterator[Instruction]) -> Iterator[Function]:
    """The functions of one section, taking its instructions from the stream."""
    body = [next(instructions) for _ in range(len(text.code) // _INSTRUCTION_BYTES)]
    starts = [symbol.start // _INSTRUCTION_BYTES for symbol in text.symbols] + [len(body)]
    for symbol, (first, end) in zip(text.symbols, pairwise(starts), strict=True):
        yield Function(symbol.name, text.name, symbol.entry, tuple(body[first:end]))
