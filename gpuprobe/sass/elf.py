"""The machine code in a cubin: a 64-bit little-endian ELF file with a ``.text.NAME`` section for each kernel."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gpuprobe.errors import Exit, GpuprobeError

_HEADER_BYTES = 64
_EM_CUDA = 190
_SYMTAB = 2
_FUNCTION_TYPE = 2
_ENTRY_FLAG = 0x10
_ABI_CUDA_13 = 8
_EXECUTABLE = 0x4
_INSTRUCTION_BYTES = 16


@dataclass(frozen=True, slots=True)
class Symbol:
    """A function: where it starts in its section, in bytes, and whether it is a kernel (``entry``)."""

    name: str
    start: int
    entry: bool


@dataclass(frozen=True, slots=True)
class Text:
    """One executable section: the code and the functions in it, by start."""

    name: str
    code: bytes
    symbols: tuple[Symbol, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A cubin: compute capability as a number (90 for sm_90 and sm_90a alike) and its code sections."""

    capability: int
    texts: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    data: bytes
    link: int


def read(cubin: bytes) -> Image:
    """The code sections of ``cubin``; GpuprobeError (a failed check) where it is no cubin or is damaged."""
    try:
        return _read(cubin)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise GpuprobeError(f"damaged cubin: {error}", "build it again", Exit.CHECK_FAILED) from error


def _read(cubin: bytes) -> Image:
    if cubin[:4] != b"\x7fELF" or struct.unpack_from("<H", cubin, 18)[0] != _EM_CUDA:
        raise ValueError("not a CUDA ELF file")
    sections = _sections(cubin)
    symbols = _symbols(sections)
    texts = tuple(
        Text(section.name.removeprefix(".text."), section.data, tuple(symbols.get(index, ())))
        for index, section in enumerate(sections)
        if section.name.startswith(".text.") and section.flags & _EXECUTABLE
    )
    if any(len(text.code) % _INSTRUCTION_BYTES for text in texts):
        raise ValueError("code of an odd size")
    return Image(_capability(cubin), texts)


def _capability(cubin: bytes) -> int:
    """Compute capability in the ELF flags: the second byte since CUDA 13 (ABI 8), the lowest before."""
    (flags,) = struct.unpack_from("<I", cubin, 48)
    return int(flags >> 8 & 0xFF if cubin[8] >= _ABI_CUDA_13 else flags & 0xFF)


def _sections(cubin: bytes) -> list[_Section]:
    (table,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names_index = struct.unpack_from("<3H", cubin, 58)
    headers = [struct.unpack_from("<IIQQQQII", cubin, table + size * index) for index in range(count)]
    names = _content(cubin, headers[names_index])
    return [_Section(_text(names, h[0]), h[1], h[2], _content(cubin, h), h[6]) for h in headers]


def _content(cubin: bytes, header: tuple[int, ...]) -> bytes:
    offset, size = header[4], header[5]
    if header[1] == 8:  # SHT_NOBITS: takes no room in the file
        return b""
    if offset + size > len(cubin):
        raise ValueError("cut short")
    return cubin[offset : offset + size]


def _text(names: bytes, offset: int) -> str:
    return names[offset : names.index(b"\0", offset)].decode()


def _symbols(sections: list[_Section]) -> dict[int, list[Symbol]]:
    """Functions by the index of their section, in address order."""
    found: dict[int, list[Symbol]] = {}
    for table in (section for section in sections if section.kind == _SYMTAB and section.name == ".symtab"):
        names = sections[table.link].data
        for name, info, other, index, start, _ in struct.iter_unpack("<IBBHQQ", table.data):
            if info & 0xF == _FUNCTION_TYPE:
                found.setdefault(index, []).append(Symbol(_text(names, name), start, bool(other & _ENTRY_FLAG)))
    return {index: sorted(symbols, key=lambda symbol: symbol.start) for index, symbols in found.items()}
