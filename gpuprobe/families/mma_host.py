"""What mma_rate.cu and mma_latency.cu compute, exactly: operands, products, and the words that each lane stores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpuprobe.fragments import mma_m16n8
from gpuprobe.mma import Mma, N, parse
from gpuprobe.operands import mixed, operand, rounded

Words = NDArray[np.uint32]

_PLACES = np.array([0x4, 0x8, 0x9, 0xC, 0xD, 0xE])
_COARSE_BITS = {"E4M3": (7, 3, 2), "E5M2": (7, 2, 1), "F16": (15, 10, 9)}  # sign, exponent, mantissa


def hashed(index: NDArray[Any], seed: int) -> Words:
    """mix(index * 0x9e3779b9 + seed) of the device, element by element."""
    return mixed(index.astype(np.uint32) * np.uint32(0x9E3779B9) + np.uint32(seed & 0xFFFFFFFF))


def elements(kind: str, words: Words) -> NDArray[Any]:
    """Elements in the words of the last axis, low bits first: integers, or the coarse numbers of FP8 and FP16."""
    bits = {"S8": 8, "S4": 4, "B1": 1, "E4M3": 8, "E5M2": 8, "F16": 16}[kind]
    shifts = np.arange(0, 32, bits, dtype=np.uint32)
    raw = (words[..., None] >> shifts & np.uint32((1 << bits) - 1)).astype(np.int64)
    raw = raw.reshape(*words.shape[:-1], -1)
    if kind == "B1":
        return raw
    if kind in ("S8", "S4"):
        return np.where(raw >= 1 << (bits - 1), raw - (1 << bits), raw)
    sign, exponent, mantissa = (raw >> bit & 1 for bit in _COARSE_BITS[kind])
    return np.asarray((1 - 2 * sign) * 0.5 * 2.0**exponent * (1 + 0.5 * mantissa))


def _a_stored(mma: Mma, seed: int) -> NDArray[Any]:
    """A as its registers hold it: m x stored_k."""
    if mma.integer or mma.coarse:
        units = mma.stored_k * mma.bits // 32
        return elements(mma.a, hashed(np.arange(mma.m * units), seed).reshape(mma.m, units))
    index = np.arange(mma.m * mma.stored_k, dtype=np.uint32)
    return rounded(operand(index, seed), _rounding(mma.a)).reshape(mma.m, mma.stored_k)


def _b_pair(mma: Mma, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two fragments of B, k x 8 each: another one for integers, else the first with its sign changed."""
    if mma.integer or mma.coarse:
        units, before = mma.k * mma.bits // 32, 16 * mma.stored_k * mma.bits // 32
        index = before + np.arange(units, dtype=np.uint32) * np.uint32(N) + np.arange(N, dtype=np.uint32)[:, None]
        first = elements(mma.b, hashed(index.astype(np.uint32), seed)).T
        second = elements(mma.b, hashed(index.astype(np.uint32), seed + 0x51ED270B)).T if mma.integer else -first
        return first, second
    index = np.arange(mma.k * N, dtype=np.uint32) + np.uint32(16 * mma.stored_k)
    first = rounded(operand(index, seed), _rounding(mma.b)).reshape(mma.k, N)
    return first, -first


def _rounding(kind: str) -> str:
    """FP16 holds every operand exactly, so TF32 and FP64 do too."""
    return "BF16" if kind == "BF16" else "F16"


def places(mma: Mma, seed: int) -> NDArray[np.int64]:
    """Where along k (m x stored_k) the elements stored of a 2:4 sparse A belong, by the metadata that mma.cuh makes.

    A chunk of 4 elements keeps 2 (of 8 four-bit elements 2 pairs, of 2 TF32 elements 1).
    """
    width = {"TF32": 2, "S4": 8}.get(mma.a, 4)
    chunks = mma.k // width
    index = np.arange(mma.m, dtype=np.uint32)[:, None] * np.uint32(64) + np.arange(chunks, dtype=np.uint32)
    bits = hashed(index, seed + 0x2545F491)
    if mma.a == "TF32":
        inside = (bits & np.uint32(1)).astype(np.int64)[..., None]
    else:
        nibble = _PLACES[bits % np.uint32(6)]
        inside = np.stack([nibble & 3, nibble >> 2], axis=-1)
    if mma.a == "S4":
        inside = (inside[..., None] * 2 + np.arange(2)).reshape(*inside.shape[:-1], 4)
    return (np.arange(chunks)[:, None] * width + inside).reshape(mma.m, -1)


def products(mma: Mma, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """A x B for both fragments of B, exact: FP64, or int64 for integers; m x 8 each. Zeros for seed 0."""
    if seed == 0:
        zero = np.zeros((mma.m, N), dtype=np.int64 if mma.integer else np.float64)
        return zero, zero
    a: NDArray[Any] = _a_stored(mma, seed)
    if mma.sparse:
        whole = np.zeros((mma.m, mma.k), dtype=a.dtype)
        np.put_along_axis(whole, places(mma, seed), a, axis=1)
        a = whole
    first, second = _b_pair(mma, seed)
    if mma.operation == "XOR":
        return _differing(a, first), _differing(a, second)
    return a @ first, a @ second


def _differing(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    count: NDArray[np.int64] = (a[:, :, None] != b[None, :, :]).sum(axis=1)
    return count


def mma_words(name: str, seed: int, steps: int, chains: int) -> Words:
    """What each warp of mma_rate.cu stores, 32 lanes x 4 words: its chains' sums after ``steps`` and one more each.

    ``steps`` is even; chain c begins with c in every accumulator.
    """
    mma = parse(name)
    first, second = products(mma, seed)
    total = (first + second) * (steps // 2) * chains + first * chains + sum(range(chains))
    if mma.m == 16:
        lanes: NDArray[Any] = mma_m16n8(total)
    else:
        lanes = np.concatenate([total.reshape(32, 2), np.zeros((32, 2), dtype=total.dtype)], axis=1)
    if mma.integer:
        return np.asarray(lanes & 0xFFFFFFFF, dtype=np.uint32)
    if mma.c == "F64":
        return np.ascontiguousarray(lanes[:, :2] + 2.0 * lanes[:, 2:]).view(np.uint32)
    return np.ascontiguousarray((lanes + 0.0).astype(np.float32)).view(np.uint32)


def expect_warps(found: Words, wanted: Words) -> str | None:
    """Reason where a warp's words (all of ``found``, warp after warp) are not ``wanted``, bit for bit."""
    warps = found.reshape(-1, wanted.size)
    wrong = warps != wanted.reshape(1, -1)
    if not wrong.any():
        return None
    warp, place = (int(number) for number in np.argwhere(wrong)[0])
    return (
        f"warp {warp}, word {place}: the kernel computed {int(warps[warp, place]):#010x} where the host computes "
        f"{int(wanted.flat[place]):#010x} ({int(wrong.any(axis=1).sum())} of {len(warps)} warps differ)"
    )
