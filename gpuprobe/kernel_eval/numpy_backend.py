"""The numpy side of a kernel evaluation: kernels on the CPU, without torch. The harness is tested with it."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.packing import packed, unpacked
from gpuprobe.kernel_eval.runner import flatten

_CACHE_BYTES = 1 << 20
"""Taken for the last-level cache, so that a cold rotation stays small."""
_ROUNDING = {"float64": 2.3e-16, "float32": 1.2e-7, "float16": 9.8e-4}
_TINY = 1e-30
EXAMPLES = 4
_WATCHED = (
    *((time, name) for name in ("time", "perf_counter", "perf_counter_ns", "monotonic", "time_ns", "process_time")),
    *((np, name) for name in ("allclose", "isclose", "array_equal", "empty", "zeros", "take")),
    (np.testing, "assert_allclose"),
)


class ReferenceUsedError(RuntimeError):
    """The candidate called the reference model of its own file."""


class NumpyBackend:
    """Arrays are numpy's; the device is the CPU."""

    def __init__(self) -> None:
        self._original = [getattr(owner, name) for owner, name in _WATCHED]
        self._signs: dict[Any, Any] = {}

    def facts(self) -> dict[str, Any]:
        """What the device is."""
        return {"device": "cpu", "numpy": np.__version__, "l2_bytes": _CACHE_BYTES, "uuid": "", "stream_gate": False}

    def oracle(self) -> NumpyOracle:
        """The arithmetic of judging."""
        return NumpyOracle(self)

    def load_module(self, path: Path) -> Any:
        """Import a task or candidate file under a name of its own."""
        spec = importlib.util.spec_from_file_location(f"kernel_under_test_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    def build(self, module: Any, name: str, init: bytes, seed: int) -> Any:
        """The model ``name`` from the packed initial inputs and a fixed seed."""
        np.random.seed(seed % 2**32)  # the task draws from the global generator
        return getattr(module, name)(*unpacked(json.loads(init)))

    def adopt_state(self, model: Any, state: bytes) -> bool:
        """Take over the reference's arrays where names and shapes agree; False where they do not."""
        given = unpacked(json.loads(state))
        own = _arrays(model)
        fits = own.keys() == given.keys() and all(own[key].shape == given[key].shape for key in own)
        if fits:
            for key, value in given.items():
                setattr(model, key, value)
        return fits

    def attach_arena(self, handle: Any) -> Any:
        """The arena as a flat array of bytes."""
        return np.memmap(handle["file"], dtype=np.uint8, mode="r+", shape=(handle["bytes"],))

    def view(self, arena: Any, at: int, shape: Any, dtype: str, swapped: bool = False) -> Any:
        """An array inside the arena; ``swapped``: stored with its last two dimensions exchanged."""
        kind, shape = np.dtype(dtype), tuple(shape)
        flat = np.asarray(arena[at : at + int(np.prod(shape)) * kind.itemsize]).view(kind)
        if swapped and len(shape) >= 2:
            return flat.reshape(*shape[:-2], shape[-1], shape[-2]).swapaxes(-1, -2)
        return flat.reshape(shape)

    def flat(self, array: Any) -> Any:
        """A contiguous array as one dimension."""
        return array.reshape(-1)

    def empty(self, shape: Any, dtype: str) -> Any:
        """Memory as it comes."""
        return np.empty(tuple(shape), dtype=dtype)

    def poison(self, array: Any) -> None:
        """Fill with NaN, or -1 for integers."""
        array.fill(np.nan if array.dtype.kind == "f" else -1 if array.dtype.kind == "i" else 1)

    def call(self, model: Any, inputs: list[Any]) -> Any:
        """The model's outputs."""
        return model.forward(*inputs)

    def call_backward(self, model: Any, inputs: list[Any], floating: list[int], cotangents: list[Any]) -> Any:
        """None: numpy has no gradients."""
        return None

    def copy(self, target: Any, source: Any) -> None:
        """Copy values."""
        np.copyto(target, source)

    def set_element(self, flat: Any, position: Any, value: Any) -> None:
        """Write one element."""
        flat[position] = value

    def take(self, output: Any, looks: Any, into: Any) -> None:
        """The elements of an output at flat positions."""
        np.copyto(into, output.reshape(-1)[looks])

    def project(self, output: Any, seed: int, into: Any) -> None:
        """The sum of all elements of an output under random signs, over the root of their number."""
        key = (output.shape, seed)
        if key not in self._signs:
            signs = np.random.default_rng(seed).integers(0, 2, output.size) * 2.0 - 1
            self._signs[key] = signs / max(1, output.size) ** 0.5
        # No BLAS: its threads go on spinning in whichever process called it last, beside the next one that is timed.
        np.copyto(into, np.einsum("i,i->", output.reshape(-1), self._signs[key]))

    def fault_in(self, output: Any) -> str:
        """Why an output is not a plain array, or an empty string."""
        return "" if type(output) is np.ndarray else f"not a plain array but {type(output).__qualname__}"

    def type_name(self, output: Any) -> tuple[list[int], str]:
        """Shape and dtype."""
        return list(output.shape), output.dtype.name

    def synchronize(self) -> None:
        """Nothing runs later than its call."""

    def kernels(self, model: Any, inputs: list[Any]) -> list[dict[str, Any]]:
        """None on the CPU."""
        return []

    def push(self, ranges: list[tuple[int, int]]) -> None:
        """The arena is shared: nothing to copy."""

    def pull(self, ranges: list[tuple[int, int]]) -> None:
        """The arena is shared: nothing to copy."""

    def board_arrays(self, board: Board) -> Any:
        """The board's memory."""
        return np.frombuffer(board.memory, dtype=np.uint8)

    def publish(self, board: Board, witness_bytes: int) -> None:
        """Witnesses are written to the board itself."""

    def to_board(self, board_array: Any, at: int, source: Any) -> int:
        """Write witnesses to the board; gives their bytes."""
        data = source.tobytes()
        board_array[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)
        return len(data)

    def flush(self) -> None:
        """Write twice the cache."""
        np.zeros(2 * _CACHE_BYTES, dtype=np.uint8).fill(1)

    def patched(self) -> list[str]:
        """Names among the watched that were replaced since the start."""
        now = [getattr(owner, name) for owner, name in _WATCHED]
        return [
            f"{owner.__name__}.{name}"
            for (owner, name), new, old in zip(_WATCHED, now, self._original, strict=True)
            if new is not old
        ]

    def bar_reference(self, module: Any) -> None:
        """Make ``Model`` of a candidate's file refuse to run."""
        model = getattr(module, "Model", None)
        if isinstance(model, type) and hasattr(module, "ModelNew"):
            if module.ModelNew.forward is model.__dict__.get("forward"):
                raise ReferenceUsedError("ModelNew has no forward of its own: it is the reference")
            model.forward = _refuse  # type: ignore[attr-defined]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error is one of memory."""
        return isinstance(error, MemoryError)


def _refuse(*_arguments: Any, **_named: Any) -> Any:
    raise ReferenceUsedError("ModelNew calls the reference's forward")


def _arrays(model: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(model).items() if isinstance(value, np.ndarray)}


class NumpyOracle:
    """Judging for the numpy backend."""

    def __init__(self, backend: NumpyBackend) -> None:
        self._backend = backend

    def pack_init(self, module: Any) -> bytes:
        """The arguments of the model's constructor."""
        give = getattr(module, "get_init_inputs", None)
        return json.dumps(packed(list(give()) if give else [])).encode()

    def pack_state(self, model: Any) -> bytes:
        """The model's arrays."""
        return json.dumps(packed(_arrays(model))).encode()

    def state_bytes(self, model: Any) -> int:
        """Bytes of the model's arrays."""
        return sum(value.nbytes for value in _arrays(model).values())

    def inputs(self, module: Any, seed: int) -> list[Any]:
        """The task's own inputs from a fresh seed."""
        np.random.seed(seed % 2**32)
        arrays = list(module.get_inputs())
        if not arrays or not all(isinstance(array, np.ndarray) for array in arrays):
            raise TypeError("get_inputs() must give a list of arrays")
        return [np.ascontiguousarray(array) for array in arrays]

    def spec(self, array: Any) -> dict[str, Any]:
        """Shape, dtype and bytes of an element."""
        floating = array.dtype.kind == "f"
        return {
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "item_bytes": array.itemsize,
            "floating": floating,
        }

    def flop(self, model: Any, inputs: list[Any]) -> int:
        """Not known for numpy."""
        return 0

    def open_arena(self, size: int, file: Path, staged: bool) -> tuple[Any, dict[str, Any]]:
        """A file both workers map."""
        with file.open("wb") as sink:
            sink.truncate(size)
        handle = {"file": str(file), "bytes": size}
        return self._backend.attach_arena(handle), handle

    def clone(self, array: Any) -> Any:
        """A copy."""
        return np.array(array)

    def variant(self, kind: str, module: Any, masters: list[Any], seed: int) -> list[Any] | None:
        """Inputs of a kind; None where nothing would change."""
        given = self.inputs(module, seed)
        draw = np.random.default_rng(seed)
        if kind == "given":
            return given
        varied = [self._vary(kind, array, draw) for array in given]
        return None if all(v is g for v, g in zip(varied, given, strict=True)) else varied

    def _vary(self, kind: str, array: Any, draw: np.random.Generator) -> Any:
        if array.dtype.kind != "f" or array.size < 2:
            return array
        spread = max(float(np.abs(array).max()), _TINY)
        planted = array.copy()
        planted.reshape(-1)[draw.integers(array.size, size=2)] = np.nan if kind == "nan" else np.inf
        makers: dict[str, Callable[[], Any]] = {
            "normal": lambda: draw.standard_normal(array.shape) * spread / 4,
            "uniform": lambda: draw.uniform(-spread, spread, array.shape),
            "wide": lambda: draw.choice((-1, 1), array.shape) * spread * np.exp2(-20 * draw.random(array.shape)),
            "large": lambda: draw.choice((-30, 30), array.shape) * array,
            "constant": lambda: np.full(array.shape, spread / 2),
            "zeros": lambda: np.zeros(array.shape),
            "nan": lambda: planted,
            "inf": lambda: planted,
        }
        varied = makers[kind]()
        return (np.abs(varied) if float(array.min()) >= 0 else varied).astype(array.dtype)

    def jitter(self, inputs: list[Any], seed: int) -> list[Any]:
        """The inputs moved by one rounding error each."""
        draw = np.random.default_rng(seed)
        return [
            array * (1 + _ROUNDING[array.dtype.name] / 2 * draw.uniform(-1, 1, array.shape))
            if array.dtype.name in _ROUNDING
            else array
            for array in inputs
        ]

    def truth(self, model: Any, inputs: list[Any]) -> list[Any] | None:
        """The outputs in fp64."""
        wide = copy.deepcopy(model)
        for name, value in _arrays(wide).items():
            setattr(wide, name, value.astype(np.float64) if value.dtype.kind == "f" else value)
        with np.errstate(all="ignore"):
            return flatten(wide.forward(*[a.astype(np.float64) if a.dtype.kind == "f" else a.copy() for a in inputs]))

    def errors(self, found: Any, reference: Any, truth: Any, jittered: Any) -> dict[str, Any]:
        """Largest relative errors, as TorchOracle's."""
        if reference.dtype.kind != "f":
            differ = found != reference
            exact = not bool(differ.any())
            worst = [] if exact else _examples(differ, found, reference)
            return {"exact": exact, "dtype": reference.dtype.name, "worst": worst}
        with np.errstate(all="ignore"):
            c, r = found.astype(np.float64), reference.astype(np.float64)
            t = r if truth is None else truth.astype(np.float64)
            finite = np.isfinite(r) & np.isfinite(t)
            scale = float(np.sqrt(np.mean(np.square(t[finite])))) if finite.any() else 0.0
            base = np.abs(t) + scale + _TINY
            both = finite & np.isfinite(c)
            off = np.where(both, np.abs(c - t) / base, np.where(np.isfinite(c) == np.isfinite(r), 0.0, np.inf))
            moved = np.zeros_like(t) if jittered is None else np.abs(jittered - t)
            return {
                "dtype": reference.dtype.name,
                "error": _largest(np.abs(c - t) / base, both),
                "reference_error": _largest(np.abs(r - t) / base, finite),
                "conditioning": _largest(moved / base, finite & np.isfinite(moved)),
                "nonfinite": int(np.sum((finite & ~np.isfinite(c)) | (~np.isfinite(r) & np.isfinite(c)))),
                "poison": int(np.sum(np.isnan(c) & ~np.isnan(r))),
                "elements": int(c.size),
                "scale": scale,
                "fp64": truth is not None,
                "worst": _examples(off, found, reference),
            }

    def close(self, one: Any, two: Any) -> bool:
        """Whether two outputs are the same but for rounding."""
        if one.shape != two.shape or one.dtype != two.dtype:
            return False
        allowed = 16 * _ROUNDING.get(two.dtype.name, 0.0)
        return bool(np.allclose(one, two, rtol=allowed, atol=allowed * self.scale(two), equal_nan=True))

    def scale(self, array: Any) -> float:
        """Root mean square of the finite elements."""
        finite = array[np.isfinite(array)].astype(np.float64)
        return float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0

    def off_zero(self, array: Any) -> None:
        """Nothing: numpy has no gradients."""

    def same_bytes(self, one: Any, two: Any) -> bool:
        """Whether two arrays are equal bit for bit."""
        return bool(np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(two).tobytes())

    def is_structured(self, array: Any) -> bool:
        """Numpy tasks are taken as dense."""
        return False

    def randomize(self, array: Any, seed: int) -> None:
        """Standard normal values."""
        np.copyto(array, np.random.default_rng(seed).standard_normal(array.shape))

    def changes(
        self, sources: dict[int, list[Any]], order: list[int], seed: int, change: bool
    ) -> tuple[Any, list[Any]]:
        """Which element of each floating input changes before each call, and to what."""
        draw = np.random.default_rng(seed)
        first = sources[order[0]]
        positions = np.zeros((len(order), max(1, len(first))), dtype=np.int64)
        values = []
        for j, sample in enumerate(first):
            positions[:, j] = draw.integers(sample.size, size=len(order))
            others = draw.integers(sample.size, size=len(order)) if change else positions[:, j]
            values.append(np.array([sources[slot][j].reshape(-1)[at] for slot, at in zip(order, others, strict=True)]))
        return positions, values

    def looks(self, layout: Any, calls: int, seed: int) -> Any:
        """Random flat positions in every output."""
        draw = np.random.default_rng(seed + 1)
        columns = [draw.integers(max(1, spec.elements), size=(calls, layout.looks_each)) for spec in layout.outputs]
        return np.stack(columns, axis=1)

    def most_moved(self, output: Any, before: Any) -> Any:
        """Flat position of the element that differs most from an earlier output."""
        return np.argmax(np.nan_to_num(np.abs(output.astype(np.float64) - before)))

    def gathered(self, output: Any, looks: Any) -> Any:
        """Elements at flat positions."""
        return output.reshape(-1)[looks].astype(np.float64)

    def rows_bytes(self, rows: list[list[Any]]) -> bytes:
        """Gathered elements as one float64 array, calls x outputs x looks: its bytes."""
        return np.stack([np.stack(row) for row in rows]).astype(np.float64).tobytes()


def _examples(badness: Any, found: Any, reference: Any) -> list[list[Any]]:
    """The worst elements: flat position, what was found, what the reference gives."""
    at = np.argsort(-badness.reshape(-1).astype(np.float64), kind="stable")[:EXAMPLES].tolist()
    return [[index, f"{found.reshape(-1)[index]:.9g}", f"{reference.reshape(-1)[index]:.9g}"] for index in at]


def _largest(values: Any, where: Any) -> float:
    chosen = values[where]
    return float(chosen.max()) if chosen.size else 0.0


def make(device: str) -> NumpyBackend:
    """The backend of a worker; the device is always the CPU."""
    return NumpyBackend()
