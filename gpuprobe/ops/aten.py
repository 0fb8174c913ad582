"""PyTorch's operators by name and input shapes → their Cost. Unknown operators and odd shapes cost nothing known: None.

Shapes and types are as torch.profiler writes them ("Input Dims", "Input type", "Input Strides", "Concrete Inputs");
NVTX ranges of ``emit_nvtx`` give shapes alone, then the element is taken to be ``default`` wide. They come from
untrusted files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.attention import Attention
from gpuprobe.ops.batched_gemm import BatchedGemm
from gpuprobe.ops.cost import Cost
from gpuprobe.ops.elementwise import Elementwise
from gpuprobe.ops.gemm import Gemm
from gpuprobe.ops.norm import Norm

_BYTES: Final[Mapping[str, int]] = {
    "c10::BFloat16": 2,
    "c10::Half": 2,
    "float": 4,
    "double": 8,
    "long int": 8,
    "long": 8,
    "int": 4,
    "short": 2,
    "bool": 1,
    "unsigned char": 1,
    "signed char": 1,
    "c10::Float8_e4m3fn": 1,
    "c10::Float8_e5m2": 1,
}
_GEMM_TYPES: Final[Mapping[str, str]] = {
    "c10::BFloat16": "bf16",
    "c10::Half": "fp16",
    "float": "fp32",
    "c10::Float8_e4m3fn": "fp8",
    "signed char": "int8",
}
LARGEST: Final = 1 << 48
"""More elements than this are no tensor."""


@dataclass(frozen=True)
class Tensor:
    """One input: its shape, torch's name of its type, and its strides (empty where not known)."""

    shape: tuple[int, ...]
    dtype: str
    strides: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        """Elements as the operator sees them."""
        return prod(self.shape)

    @property
    def width(self) -> int:
        """Bytes of an element; ValueError for a type that is not known."""
        if self.dtype not in _BYTES:
            raise ValueError(f"unknown type {self.dtype}")
        return _BYTES[self.dtype]

    @property
    def stored(self) -> int:
        """Bytes in memory: dimensions of stride 0 (expanded) are read once."""
        strides = self.strides if len(self.strides) == len(self.shape) else (1,) * len(self.shape)
        return prod(size for size, stride in zip(self.shape, strides, strict=True) if stride != 0) * self.width


@dataclass(frozen=True)
class Inputs:
    """An operator's inputs: the tensors by position (None for scalars and absent ones), lists of tensors, values."""

    tensors: tuple[Tensor | None, ...]
    lists: tuple[tuple[Tensor, ...], ...] = ()
    values: tuple[str, ...] = ()

    def tensor(self, position: int) -> Tensor:
        """The tensor at a position; ValueError where there is none."""
        found = self.tensors[position] if position < len(self.tensors) else None
        if found is None:
            raise ValueError("a tensor is missing")
        return found

    def every(self) -> list[Tensor]:
        """All tensors, those in lists too."""
        return [tensor for tensor in self.tensors if tensor is not None] + [t for part in self.lists for t in part]

    def value(self, position: int) -> str:
        """A scalar's text; '' where it was not recorded."""
        return self.values[position] if position < len(self.values) else ""


Rule = Callable[[Inputs], Cost]


def parse_inputs(document: Mapping[str, Any], default: str = "c10::BFloat16") -> Inputs:
    """Inputs of a recorded operator; ValueError where the document holds no shapes."""
    dims = _list(document.get("dims"))
    types, strides = _list(document.get("types", [])), _list(document.get("strides", []))
    tensors: list[Tensor | None] = []
    lists: list[tuple[Tensor, ...]] = []
    for position, shape in enumerate(dims):
        dtype = str(types[position]) if position < len(types) else default
        step = strides[position] if position < len(strides) else []
        if isinstance(shape, list) and shape and isinstance(shape[0], list):
            lists.append(tuple(Tensor(_shape(part), default if dtype == "TensorList" else dtype) for part in shape))
            tensors.append(None)
        elif dtype in _BYTES and (shape or types):
            tensors.append(Tensor(_shape(shape), dtype, _strides(step)))
        else:
            tensors.append(None)
    return Inputs(tuple(tensors), tuple(lists), tuple(map(str, _list(document.get("values", [])))))


def cost_of(name: str, inputs: Inputs) -> Cost | None:
    """The cost of one call of an operator (``aten::mm``); None where it is not known."""
    plain = name.removeprefix("aten::").rstrip("_")
    rule = RULES.get(plain)
    if rule is None or not name.startswith("aten::"):
        return None
    try:
        cost = rule(inputs)
    except (ValueError, IndexError, GpuprobeError):
        return None
    return cost if cost.bytes > 0 else None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("no list of shapes")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and 0 <= size < LARGEST for size in value):
        raise ValueError("no shape")
    if prod(value) >= LARGEST:
        raise ValueError("too large for a tensor")
    return tuple(value)


def _strides(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, list) and all(type(step) is int for step in value) else ()


def _matrix(tensor: Tensor, rank: int) -> tuple[int, ...]:
    if len(tensor.shape) != rank:
        raise ValueError("wrong rank")
    return tensor.shape


def _gemm(left: Tensor, right: Tensor) -> Gemm:
    (m, k), (inner, n) = _matrix(left, 2), _matrix(right, 2)
    if inner != k or left.dtype not in _GEMM_TYPES:
        raise ValueError("no GEMM")
    plain = right.strides == (n, 1) or not right.strides
    return Gemm(m, n, k, _GEMM_TYPES[left.dtype], "nn" if plain and right.strides else "tn")


def _one_gemm(left: int, right: int) -> Rule:
    def rule(inputs: Inputs) -> Cost:
        gemm = _gemm(inputs.tensor(left), inputs.tensor(right))
        return Cost("gemm", gemm.flop, gemm.bytes, gemm.dtype, gemm)

    return rule


def _linear(inputs: Inputs) -> Cost:
    """x[…, k] · wᵀ with w n×k."""
    x, weight = inputs.tensor(0), inputs.tensor(1)
    n, k = _matrix(weight, 2)
    if not x.shape or x.shape[-1] != k or x.dtype not in _GEMM_TYPES:
        raise ValueError("no linear layer")
    gemm = Gemm(x.elements // max(k, 1), n, k, _GEMM_TYPES[x.dtype])
    return Cost("gemm", gemm.flop, gemm.bytes, gemm.dtype, gemm)


def _batched(left: int, right: int) -> Rule:
    def rule(inputs: Inputs) -> Cost:
        a, b = inputs.tensor(left), inputs.tensor(right)
        (batch, m, k), (_, _, n) = _matrix(a, 3), _matrix(b, 3)
        if a.dtype not in _GEMM_TYPES:
            raise ValueError("no GEMM type")
        batched = BatchedGemm(batch, Gemm(m, n, k, _GEMM_TYPES[a.dtype]))
        return Cost("batched_gemm", batched.flop, batched.bytes, batched.gemm.dtype)

    return rule


def _attention(causal_at: int, *, heads_first: bool) -> Rule:
    """Attention of q, k, v; ``causal_at`` is the position of the flag (1 or True: causal)."""

    def rule(inputs: Inputs) -> Cost:
        q, k, v = (inputs.tensor(position) for position in range(3))
        batch, queries, heads, dim = _matrix(q, 4)
        _, keys, kv_heads, _ = _matrix(k, 4)
        if heads_first:
            queries, heads, keys, kv_heads = heads, queries, kv_heads, keys
        _matrix(v, 4)
        flag = inputs.value(causal_at)
        causal = flag in ("True", "1") if flag else queries > 1 and queries == keys
        shape = Attention(batch, queries, keys, heads, kv_heads, dim, causal, q.width)
        assumed = "" if flag or queries == 1 else f"{'a' if causal else 'no'} causal mask"
        return Cost("attention", shape.flop, shape.bytes, _GEMM_TYPES.get(q.dtype, "fp32"), assumed=assumed)

    return rule


def _norm(kind: str, weights: tuple[int, ...] = ()) -> Rule:
    def rule(inputs: Inputs) -> Cost:
        x = inputs.tensor(0)
        parameters = [inputs.tensors[position] for position in weights if position < len(inputs.tensors)]
        norm = Norm(kind, x.elements, sum(tensor.elements for tensor in parameters if tensor), x.width)
        return Cost("softmax" if kind == "softmax" else "norm", norm.flop, norm.bytes, "fp32")

    return rule


def _broadcast(tensors: Sequence[Tensor]) -> int:
    """Elements of the result of broadcasting."""
    if not tensors:
        raise ValueError("no tensors")
    rank = max(len(tensor.shape) for tensor in tensors)
    padded = [(1,) * (rank - len(tensor.shape)) + tensor.shape for tensor in tensors]
    return prod(max(sizes) for sizes in zip(*padded, strict=True)) if rank else 1


def _map(inputs: Inputs) -> Cost:
    tensors = inputs.every()
    elements = _broadcast(tensors)
    work = Elementwise(elements, sum(t.stored for t in tensors), elements * tensors[0].width)
    return Cost("elementwise", work.flop, work.bytes, "fp32")


def _copy(inputs: Inputs) -> Cost:
    target, source = inputs.tensor(0), inputs.tensor(1)
    return Cost("elementwise", 0, Elementwise(0, source.stored, target.stored).bytes, "fp32")


def _fill(inputs: Inputs) -> Cost:
    return Cost("elementwise", 0, inputs.tensor(0).stored, "fp32")


def _reduce(inputs: Inputs) -> Cost:
    source = inputs.tensor(0)
    return Cost("elementwise", source.elements, source.stored, "fp32")


def _join(inputs: Inputs) -> Cost:
    read = sum(tensor.stored for tensor in inputs.every())
    return Cost("elementwise", 0, Elementwise(0, read, read).bytes, "fp32")


def _gather(index_at: int) -> Rule:
    """Rows of a table chosen by an index: the rows read and written, the index read."""

    def rule(inputs: Inputs) -> Cost:
        table, index = inputs.tensor(0), inputs.tensor(index_at)
        row = prod(table.shape[1:]) * table.width
        return Cost("gather", 0, 2 * index.elements * row + index.stored, "fp32")

    return rule


_MAPS = (
    "add sub mul div neg abs pow sqrt rsqrt reciprocal exp log cos sin tanh sigmoid silu gelu relu erf where "
    "leaky_relu masked_fill eq ne lt le gt ge logical_not logical_and logical_or bitwise_and bitwise_or bitwise_not "
    "clamp clamp_min clamp_max maximum minimum addcmul addcdiv lerp rsub square silu_backward gelu_backward "
    "sigmoid_backward tanh_backward threshold_backward"
)
_REDUCTIONS = "sum mean amax amin max min argmax argmin any all norm linalg_vector_norm prod var std"

RULES: Final[Mapping[str, Rule]] = {
    "mm": _one_gemm(0, 1),
    "addmm": _one_gemm(1, 2),
    "_scaled_mm": _one_gemm(0, 1),
    "_int_mm": _one_gemm(0, 1),
    "linear": _linear,
    "bmm": _batched(0, 1),
    "baddbmm": _batched(1, 2),
    "_flash_attention_forward": _attention(8, heads_first=False),
    "_efficient_attention_forward": _attention(9, heads_first=False),
    "_scaled_dot_product_flash_attention": _attention(4, heads_first=True),
    "_scaled_dot_product_cudnn_attention": _attention(6, heads_first=True),
    "_cudnn_attention_forward": _attention(10, heads_first=True),
    "_scaled_dot_product_efficient_attention": _attention(6, heads_first=True),
    "scaled_dot_product_attention": _attention(5, heads_first=True),
    "native_layer_norm": _norm("layer", (2, 3)),
    "native_group_norm": _norm("group", (1, 2)),
    "cudnn_batch_norm": _norm("batch", (1, 2)),
    "_fused_rms_norm": _norm("rms", (2,)),
    "rms_norm": _norm("rms", (2,)),
    "_softmax": _norm("softmax"),
    "_log_softmax": _norm("softmax"),
    "_safe_softmax": _norm("softmax"),
    "copy": _copy,
    **dict.fromkeys(("fill", "zero", "normal", "uniform", "random"), _fill),
    "cat": _join,
    "embedding": _gather(1),
    "index_select": _gather(2),
    **dict.fromkeys(_REDUCTIONS.split(), _reduce),
    **dict.fromkeys(_MAPS.split(), _map),
}
"""What is known, by the operator's name without ``aten::`` and the ``_`` of its in-place form."""
