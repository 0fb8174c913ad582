"""Operands for GEMMs without allocating: views into one pool of standard normal values per type. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gpuprobe.ops.gemm import DTYPES, Gemm

INT8_STEPS_PER_UNIT: Final = 32
"""int8 operands are standard normal values quantised at 1/32, clipped at ±127."""

_ALIGN_BYTES = 512
_CHUNK = 1 << 27


def _aligned(size: int, item_bytes: int) -> int:
    step = _ALIGN_BYTES // item_bytes
    return -(-size // step) * step


class Pools:
    """One operand pool a type, made at first use and filled once, and one pool for all outputs.

    A pool holds the largest single operand set, or the sets that a cold graph rotates, whichever is more.
    """

    def __init__(self, torch: Any, largest_bytes: int, l2_bytes: int) -> None:
        self._torch = torch
        self._bytes = largest_bytes + 5 * l2_bytes + 4096 * _ALIGN_BYTES
        self._inputs: dict[str, Any] = {}
        self._output = torch.empty(self._bytes, dtype=torch.uint8, device="cuda")
        self._scale = torch.ones((), dtype=torch.float32, device="cuda")
        names = {"bf16": "bfloat16", "fp16": "float16", "tf32": "float32", "fp32": "float32", "int8": "int8"}
        self._input_types = {name: getattr(torch, kind) for name, kind in names.items()}
        self._input_types["fp8"] = torch.float8_e4m3fn
        self._output_types = {**self._input_types, "fp8": torch.bfloat16, "int8": torch.int32}

    def _pool(self, dtype: str) -> Any:
        key = "fp32" if dtype == "tf32" else dtype
        if key not in self._inputs:
            self._inputs[key] = self._filled(key)
        return self._inputs[key]

    def _filled(self, dtype: str) -> Any:
        torch = self._torch
        count = self._bytes // DTYPES[dtype].input_bytes
        pool = torch.empty(count, dtype=self._input_types[dtype], device="cuda")
        if dtype in ("bf16", "fp16", "fp32"):
            return pool.normal_()
        for begin in range(0, count, _CHUNK):
            part = pool[begin : begin + _CHUNK]
            values = torch.randn(part.numel(), device="cuda")
            part.copy_(values.mul_(INT8_STEPS_PER_UNIT).round_().clamp_(-127, 127) if dtype == "int8" else values)
        return pool

    def launches(self, gemm: Gemm, sets: int) -> list[Callable[[], Any]]:
        """One call per operand set that launches the GEMM on it, on the current stream, without allocating."""
        torch, dtype = self._torch, DTYPES[gemm.dtype]
        torch.backends.cuda.matmul.allow_tf32 = gemm.dtype == "tf32"
        pool, output = self._pool(gemm.dtype), self._output.view(self._output_types[gemm.dtype])
        a_size, b_size = _aligned(gemm.m * gemm.k, dtype.input_bytes), _aligned(gemm.k * gemm.n, dtype.input_bytes)
        c_size = _aligned(gemm.m * gemm.n, dtype.output_bytes)
        b_strides = (1, gemm.k) if gemm.layout == "tn" else (gemm.n, 1)
        calls = []
        for index in range(sets):
            begin = index * (a_size + b_size)
            a = torch.as_strided(pool, (gemm.m, gemm.k), (gemm.k, 1), begin)
            b = torch.as_strided(pool, (gemm.k, gemm.n), b_strides, begin + a_size)
            c = torch.as_strided(output, (gemm.m, gemm.n), (gemm.n, 1), index * c_size)
            calls.append(self._call(gemm.dtype, a, b, c))
        return calls

    def _call(self, dtype: str, a: Any, b: Any, c: Any) -> Callable[[], Any]:
        torch, one = self._torch, self._scale
        if dtype == "fp8":
            kind = torch.bfloat16
            return lambda: torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=kind, use_fast_accum=True, out=c)
        if dtype == "int8":
            return lambda: torch._int_mm(a, b, out=c)
        return lambda: torch.mm(a, b, out=c)

    def set_bytes(self, gemm: Gemm) -> int:
        """Bytes of one operand set as laid out here: A, B and C, each from its own 512-byte boundary."""
        dtype = DTYPES[gemm.dtype]
        inputs = _aligned(gemm.m * gemm.k, dtype.input_bytes) + _aligned(gemm.k * gemm.n, dtype.input_bytes)
        return inputs * dtype.input_bytes + _aligned(gemm.m * gemm.n, dtype.output_bytes) * dtype.output_bytes
