"""The torch arithmetic of judging a kernel: inputs of many kinds, fp64 truth, errors, what to look at."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

from gpuprobe.kernel_eval.layout import SEGMENT_BYTES
from gpuprobe.kernel_eval.packing import packed
from gpuprobe.kernel_eval.tolerance import examine

TINY = 1e-30
LARGE = 30.0
"""Times the task's own inputs: exp overflows, sums cancel."""
ROUNDING = {"float64": 2.3e-16, "float32": 1.2e-7, "float16": 9.8e-4, "bfloat16": 7.9e-3}
CHANCE = 1e-3
"""Share of elements up to which zeros are there by chance: torch.randn on a CPU gives some 7e-8."""
EXAMPLES = 4
_FEW_VALUES = 3


class TorchOracle:
    """Judging for the torch backend."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._device = backend.device
        self._double: tuple[Any, Any] | None = None
        self._domains: dict[Any, Domain] = {}

    def pack_init(self, module: Any) -> bytes:
        """The arguments of the model's constructor: plain values and tensors."""
        give = getattr(module, "get_init_inputs", None)
        data = _saved(list(give()) if give else [])
        try:
            torch.load(io.BytesIO(data), weights_only=True)
        except UnpicklingError as error:
            raise TypeError("get_init_inputs() must give numbers, text, lists, dictionaries or tensors") from error
        return data

    def pack_state(self, model: Any) -> bytes:
        """The model's parameters and buffers."""
        return _saved({name: value.detach().cpu() for name, value in model.state_dict().items()})

    def state_bytes(self, model: Any) -> int:
        """Bytes of parameters and buffers."""
        return sum(value.numel() * value.element_size() for value in model.state_dict().values())

    def inputs(self, module: Any, seed: int) -> list[Any]:
        """The task's own inputs from a fresh seed, on the device; drawn there where the task names no device."""
        torch.manual_seed(seed)
        with torch.device(self._device):
            arrays = list(module.get_inputs())
        if not arrays or not all(isinstance(array, torch.Tensor) for array in arrays):
            raise TypeError("get_inputs() must give a list of tensors")
        return [array.detach().to(self._device).contiguous() for array in arrays]

    def spec(self, array: Any) -> dict[str, Any]:
        """Shape, dtype and bytes of an element."""
        return {
            "shape": list(array.shape),
            "dtype": str(array.dtype).removeprefix("torch."),
            "item_bytes": array.element_size(),
            "floating": array.dtype.is_floating_point,
        }

    def flop(self, model: Any, inputs: list[Any]) -> int:
        """Multiplications and additions of matrix products and convolutions, as torch counts them."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(*[array.clone() for array in inputs])
        return int(counter.get_total_flops())

    def open_arena(self, size: int, file: Path, staged: bool) -> tuple[Any, dict[str, Any]]:
        """A flat block of memory and the handle by which another process maps it; ``staged``: by way of a file."""
        if self._device.type == "cpu" or staged:
            with file.open("wb") as sink:
                sink.truncate(size)
            shared = torch.from_file(str(file), shared=True, size=size, dtype=torch.uint8)
            return (self._backend.stage(shared) if staged else shared), {"file": str(file), "bytes": size}
        from torch.multiprocessing.reductions import reduce_tensor

        arena = torch.zeros(-(-size // SEGMENT_BYTES) * SEGMENT_BYTES, dtype=torch.uint8, device=self._device)
        torch.cuda.synchronize()
        # Of what torch would pickle the classes and the type are known; the rest is data.
        _, (_, shape, stride, offset, _, _, *shared) = reduce_tensor(arena)
        return arena, {"cuda": packed([tuple(shape), tuple(stride), offset, *shared])}

    def clone(self, array: Any) -> Any:
        """A copy."""
        return array.clone()

    def variant(self, kind: str, module: Any, masters: list[Any], seed: int) -> list[Any] | None:
        """Inputs of a kind, within what the task's own inputs show of their domain; None where nothing would change."""
        given = self.inputs(module, seed)
        if kind == "given":
            return given
        torch.manual_seed(seed)
        varied = [_vary(kind, array) for array in given]
        return None if all(v is g for v, g in zip(varied, given, strict=True)) else varied

    def jitter(self, inputs: list[Any], seed: int) -> list[Any]:
        """The inputs moved by one rounding error each, to see how much the outputs must be allowed to move."""
        torch.manual_seed(seed)
        return [
            array.double() * (1 + ROUNDING[_name(array)] / 2 * (2 * torch.rand_like(array, dtype=torch.float64) - 1))
            if _name(array) in ROUNDING
            else array
            for array in inputs
        ]

    def truth(self, model: Any, inputs: list[Any]) -> list[Any] | None:
        """The outputs in fp64; None where the model cannot be run so."""
        from gpuprobe.kernel_eval.runner import flatten

        double = self._doubled(model)
        if double is None:
            return None
        try:
            with torch.no_grad():
                return flatten(double(*[a.double() if a.dtype.is_floating_point else a.clone() for a in inputs]))
        except (RuntimeError, TypeError, ValueError):
            torch.cuda.empty_cache()
            return None

    def true_gradients(self, model: Any, inputs: list[Any], floating: list[int], cotangents: list[Any]) -> Any:
        """Gradients in fp64; None where the model cannot be run so."""
        double = self._doubled(model)
        if double is None:
            return None
        wide = [a.double() if a.dtype.is_floating_point else a for a in inputs]
        try:
            return self._backend.call_backward(double, wide, floating, [c.double() for c in cotangents])
        except (RuntimeError, TypeError, ValueError):
            return None

    def _doubled(self, model: Any) -> Any:
        if self._double is None or self._double[0] is not model:
            try:
                self._double = (model, copy.deepcopy(model).double())
            except (RuntimeError, TypeError):
                self._double = (model, None)
        return self._double[1]

    def errors(self, found: Any, reference: Any, truth: Any, jittered: Any) -> dict[str, Any]:
        """Largest relative errors: the candidate's, the reference's own, and what a rounding of the inputs does.

        Relative to |truth| plus its root mean square, so that an element near zero is not asked for more digits than
        its neighbours have. ``nonfinite``: NaN or infinite on one side only; ``poison``: NaN where the
        reference has none.
        """
        if not reference.dtype.is_floating_point:
            differ = (found != reference).reshape(-1)
            exact = not bool(differ.any())
            worst = [] if exact else _examples(differ.to(torch.uint8), found, reference)
            return {"exact": exact, "dtype": _name(reference), "worst": worst}
        c, r = found.double(), reference.double()
        t = r if truth is None else truth.double()
        finite = torch.isfinite(r) & torch.isfinite(t)
        both = finite & torch.isfinite(c)
        limit = 0.5 * torch.finfo(reference.dtype).max
        kept = t[finite]
        scale = float(kept.square().mean().sqrt()) if kept.numel() else 0.0
        if not np.isfinite(scale):
            scale = float(kept.abs().max())
        base = t.abs() + scale + TINY
        wrong = (finite & ~torch.isfinite(c) & (t.abs() < limit)) | (
            torch.isinf(r) & torch.isfinite(c) & (c.abs() < limit) & ~(torch.isfinite(t) & (t.abs() < limit))
        )
        nan_differs = torch.isnan(r) & ~torch.isnan(c)
        moved = torch.zeros_like(t) if jittered is None else (jittered.double() - t).abs()
        row = {
            "dtype": _name(reference),
            "error": _largest((c - t).abs() / base, both),
            "reference_error": _largest((r - t).abs() / base, finite),
            "conditioning": _largest(moved / base, finite & torch.isfinite(moved)),
            "nonfinite": int(wrong.sum()) + int(nan_differs.sum()),
            "poison": int((torch.isnan(c) & ~torch.isnan(r)).sum()),
            "elements": int(c.numel()),
            "scale": scale,
            "fp64": truth is not None,
        }
        if examine(row, ""):
            off = torch.where(
                both, (c - t).abs() / base, torch.where(torch.isfinite(c) == torch.isfinite(r), 0.0, torch.inf)
            )
            row["worst"] = _examples(torch.nan_to_num(off.reshape(-1), nan=0.0), found, reference)
        return row

    def close(self, one: Any, two: Any) -> bool:
        """Whether two outputs are the same but for rounding."""
        if one.shape != two.shape or one.dtype != two.dtype:
            return False
        if not one.dtype.is_floating_point:
            return bool(torch.equal(one, two))
        allowed = 16 * ROUNDING.get(_name(one), 0.1)
        return bool(
            torch.allclose(one.float(), two.float(), rtol=allowed, atol=allowed * self.scale(two), equal_nan=True)
        )

    def scale(self, array: Any) -> float:
        """Root mean square of the finite elements."""
        if not array.dtype.is_floating_point:
            return 0.0
        wide = array.float()
        finite = wide[torch.isfinite(wide)]
        return float(finite.square().mean().sqrt()) if finite.numel() else 0.0

    def off_zero(self, array: Any) -> None:
        """Move the few elements that are exactly zero by chance by a rounding error: gradients may differ there."""
        zeros = array == 0
        if _name(array) in ROUNDING and int(zeros.sum()) <= array.numel() * CHANCE:
            array[zeros] = ROUNDING[_name(array)] * self.scale(array)

    def same_bytes(self, one: Any, two: Any) -> bool:
        """Whether two arrays are equal bit for bit, NaN included."""
        widths = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
        width = widths.get(one.element_size(), one.dtype)
        return bool(torch.equal(one.contiguous().view(width), two.contiguous().view(width)))

    def is_structured(self, array: Any) -> bool:
        """Whether an input is symmetric or has structural zeros."""
        domain = self._domain(array)
        return bool(domain.side) or domain.allowed is not None

    def randomize(self, array: Any, seed: int) -> None:
        """Standard normal values."""
        torch.manual_seed(seed)
        if array.dtype.is_floating_point:
            array.copy_(torch.randn(array.shape, device=array.device))

    def changes(
        self, sources: dict[int, list[Any]], order: list[int], seed: int, change: bool
    ) -> tuple[Any, list[Any]]:
        """Which element of each floating input changes before each call, and to what: (calls x inputs), and per input.

        It takes the value of another element; its own where nothing is to change, or where a change would leave the
        task's domain. Symmetric matrices change on the diagonal, structural zeros stay.
        """
        draw = np.random.default_rng(seed)
        first = sources[order[0]]
        positions = np.zeros((len(order), max(1, len(first))), dtype=np.int64)
        values = []
        for j, sample in enumerate(first):
            domain = self._domain(sample)
            positions[:, j] = domain.draw(draw, len(order))
            others = domain.draw(draw, len(order)) if change and not domain.fixed else positions[:, j]
            values.append(self._gather_by_slot([sources[slot][j] for slot in order], others))
        return torch.from_numpy(positions).to(self._device), values

    def _gather_by_slot(self, arrays: list[Any], positions: Any) -> Any:
        found = torch.empty(len(arrays), dtype=arrays[0].dtype, device=self._device)
        steps_of: dict[int, list[int]] = {}
        for step, array in enumerate(arrays):
            steps_of.setdefault(id(array), []).append(step)
        for steps in steps_of.values():
            at, into = (torch.from_numpy(np.asarray(rows)).to(self._device) for rows in (positions[steps], steps))
            found[into] = arrays[steps[0]].view(-1)[at]
        return found

    def _domain(self, array: Any) -> Domain:
        key = (tuple(array.shape), array.dtype)
        if key not in self._domains:
            self._domains[key] = Domain.of(array)
        return self._domains[key]

    def looks(self, layout: Any, calls: int, seed: int) -> Any:
        """Random flat positions in every output: calls x outputs x looks."""
        draw = np.random.default_rng(seed + 1)
        columns = [draw.integers(max(1, spec.elements), size=(calls, layout.looks_each)) for spec in layout.outputs]
        return torch.from_numpy(np.stack(columns, axis=1)).to(self._device)

    def most_moved(self, output: Any, before: Any) -> Any:
        """Flat position of the element that differs most from an earlier output, still on the device."""
        if output.dtype.is_floating_point:
            return torch.nan_to_num((output.float() - before.float()).abs()).argmax()
        return (output != before).to(torch.uint8).argmax()

    def gathered(self, output: Any, looks: Any) -> Any:
        """Elements at flat positions, still on the device."""
        return torch.take(output, looks).double()

    def rows_bytes(self, rows: list[list[Any]]) -> bytes:
        """Gathered elements as one float64 array, calls x outputs x looks: its bytes."""
        table: bytes = torch.stack([look for row in rows for look in row]).cpu().numpy().astype(np.float64).tobytes()
        return table


@dataclass(frozen=True)
class Domain:
    """Where inputs may change: ``side`` of a symmetric matrix, ``allowed`` positions (None: any), ``fixed``: none."""

    elements: int
    side: int = 0
    allowed: Any = None
    fixed: bool = False

    @classmethod
    def of(cls, array: Any) -> Domain:
        """The domain that an example shows."""
        if _is_symmetric(array):
            return cls(array.numel(), side=array.shape[0])
        zeros = float((array == 0).double().mean())
        if 0.01 < zeros < 1.0:
            return cls(array.numel(), allowed=torch.nonzero(array.view(-1)).view(-1)[: 1 << 20].cpu().numpy())
        return cls(array.numel(), fixed=_rows_sum_to_one(array))

    def draw(self, draw: np.random.Generator, count: int) -> Any:
        """Random flat positions."""
        if self.side:
            return draw.integers(self.side, size=count) * (self.side + 1)
        if self.allowed is not None:
            return draw.choice(self.allowed, size=count)
        return draw.integers(self.elements, size=count)


def _examples(badness: Any, found: Any, reference: Any) -> list[list[Any]]:
    """The worst elements: flat position, what was found, what the reference gives."""
    if not badness.numel():
        return []
    at = torch.topk(badness, min(EXAMPLES, badness.numel())).indices.tolist()
    pairs = zip(found.reshape(-1)[at].tolist(), reference.reshape(-1)[at].tolist(), strict=True)
    return [[index, f"{one:.9g}", f"{two:.9g}"] for index, (one, two) in zip(at, pairs, strict=True)]


def _saved(content: Any) -> bytes:
    sink = io.BytesIO()
    torch.save(content, sink)
    return sink.getvalue()


def _name(array: Any) -> str:
    return str(array.dtype).removeprefix("torch.")


def _largest(values: Any, where: Any) -> float:
    chosen = values[where]
    return float(chosen.max()) if chosen.numel() else 0.0


def _is_symmetric(array: Any) -> bool:
    return array.dim() == 2 and array.shape[0] == array.shape[1] > 1 and bool(torch.equal(array, array.T))


def _vary(kind: str, array: Any) -> Any:
    """An input of a kind. Labels, rows that sum to one, symmetric matrices and structural zeros stay what they are."""
    if not array.dtype.is_floating_point or array.numel() < 2 or _is_structured(array):
        return array
    low, high = float(array.min()), float(array.max())
    spread = max(abs(low), abs(high), TINY)
    varied = _drawn(kind, array, spread)
    if low >= 0:
        varied = varied.abs()
    zeros = array == 0
    if kind not in ("nan", "inf") and float(zeros.double().mean()) > 0.01:
        varied = torch.where(zeros, array, varied)
    return varied.to(array.dtype)


def _drawn(kind: str, array: Any, spread: float) -> Any:
    uniform = torch.rand(array.shape, device=array.device)
    signs = 2.0 * torch.randint(0, 2, array.shape, device=array.device) - 1
    if kind in ("nan", "inf"):
        planted = array.clone()
        hits = torch.randint(0, array.numel(), (max(1, min(8, array.numel() // 64)),), device=array.device)
        planted.view(-1)[hits] = float(kind)
        return planted
    makers: dict[str, Callable[[], Any]] = {
        "normal": lambda: torch.randn_like(uniform) * (spread / 4),
        "uniform": lambda: (2 * uniform - 1) * spread,
        "wide": lambda: signs * spread * torch.exp2(-20 * uniform),
        "large": lambda: signs * array.float() * LARGE,
        "constant": lambda: torch.full_like(uniform, spread / 2),
        "zeros": lambda: torch.zeros_like(uniform),
    }
    return makers[kind]()


def _is_structured(array: Any) -> bool:
    sample = array.reshape(-1)[:4096]
    if torch.unique(sample).numel() <= _FEW_VALUES or _is_symmetric(array):
        return True
    return _rows_sum_to_one(array)


def _rows_sum_to_one(array: Any) -> bool:
    return array.dim() >= 2 and array.shape[-1] > 1 and bool(((array.float().sum(-1) - 1).abs() < 1e-2).all())
