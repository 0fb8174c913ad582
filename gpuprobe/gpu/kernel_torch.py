"""The torch side of a kernel evaluation's workers: arrays, calls, the gate, what must not be patched."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import io
import sys
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.stream_gate import StreamGate
from gpuprobe.kernel_eval.board import WITNESS_AT, Board
from gpuprobe.kernel_eval.packing import unpacked
from gpuprobe.kernel_eval.runner import Runner
from gpuprobe.kernel_eval.waiting import wait_for

# What the harness calls while the candidate is loaded, taken before it can put its own in place.
_TAKE, _EMPTY, _CHANGE, _NO_GRAD, _DOT = torch.take, torch.empty, torch.Tensor.index_copy_, torch.no_grad, torch.dot
_CURRENT_STREAM = torch.cuda.current_stream

WATCHED: dict[str, tuple[Any, tuple[str, ...]]] = {
    "time": (time, ("time", "perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "time_ns", "process_time")),
    "torch": (
        torch,
        ("allclose", "isclose", "equal", "empty", "zeros", "randn", "rand", "take", "manual_seed", "matmul", "no_grad"),
    ),
    "torch.cuda": (torch.cuda, ("synchronize", "Event", "Stream", "current_stream", "manual_seed", "manual_seed_all")),
    "torch.cuda.Event": (torch.cuda.Event, ("record", "elapsed_time", "synchronize", "wait", "query")),
    "torch.cuda.Stream": (torch.cuda.Stream, ("synchronize", "wait_stream", "wait_event", "record_event")),
    "torch.testing": (torch.testing, ("assert_close",)),
    "torch.Tensor": (
        torch.Tensor,
        ("allclose", "equal", "isclose", "copy_", "clone", "cpu", "numpy", "to", "__eq__", "__sub__", "abs", "max"),
    ),
    "torch.nn.Module": (torch.nn.Module, ("__call__", "forward", "load_state_dict", "state_dict")),
    "sys.modules": (sys.modules, ("time", "torch", "torch.testing", "torch.cuda")),
    "harness": (sys.modules[__name__], ("_TAKE", "_EMPTY", "_CHANGE", "_NO_GRAD", "_DOT", "_watched", "TorchBackend")),
    "harness.Runner": (Runner, ("_run", "_steps", "_finish", "do_batch", "do_call", "do_serve")),
}
_LOOKED_WITH: Final = ("aten::take.out", "aten::dot", "aten::copy_", "aten::index_copy_", "aten::empty.memory_format")
"""Operators the harness looks at outputs with; ``torch.library`` can put others in their places."""


def _watched() -> dict[str, Any]:
    found = {
        f"{label}.{name}": owner.get(name) if isinstance(owner, dict) else getattr(owner, name, None)
        for label, (owner, names) in WATCHED.items()
        for name in names
    }
    return found | {f"kernel of {name}": _kernels_of(name) for name in _LOOKED_WITH} | {"modes": _modes()}


def _kernels_of(operator: str) -> str:
    """Where the dispatcher says that an operator's kernels were registered, of the keys that plain tensors have."""
    table = torch._C._dispatch_dump_table(operator).splitlines()
    return "\n".join(line for line in table if line.split(":")[0] in ("CPU", "CUDA", "AutogradCPU", "AutogradCUDA"))


def _modes() -> str:
    """Modes that see every operation; that of a default device is no concern of the harness."""
    functions, dispatches = _get_current_function_mode_stack(), _get_current_dispatch_mode_stack()
    return ", ".join(type(mode).__qualname__ for mode in (*functions, *dispatches) if type(mode) is not DeviceContext)


_WATCH = _watched


class ReferenceUsedError(RuntimeError):
    """The candidate called the reference model of its own file."""


class TorchBackend:
    """Arrays are torch tensors on ``device`` (``cpu`` or ``cuda:0``)."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.cuda = self.device.type == "cuda"
        if self.cuda:
            if not torch.cuda.is_available():
                raise GpuprobeError("PyTorch sees no CUDA GPU", "use --device cpu", Exit.MACHINE_LACKS)
            begin_s = time.perf_counter()
            torch.cuda.set_device(self.device)
            torch.zeros(1, device=self.device)  # makes the context that the driver's functions below need
            self._driver = ctypes.CDLL("libcuda.so.1")
            self.gate = StreamGate(self._driver, self.device)
            self._start_s = time.perf_counter() - begin_s
        else:
            torch.set_num_threads(1)  # two workers and a judge share the cores
        self._signs: dict[Any, Any] = {}
        self._original = _WATCH()
        self._flush_buffer: Any = None
        self._shared: Any = None

    def facts(self) -> dict[str, Any]:
        """What the device is: name, L2 and memory in bytes, UUID, versions."""
        facts = {"torch": torch.__version__, "device": "cpu", "l2_bytes": 32 << 20, "uuid": "", "stream_gate": False}
        if self.cuda:
            properties = torch.cuda.get_device_properties(self.device)
            facts |= {
                "device": properties.name,
                "l2_bytes": int(properties.L2_cache_size),
                "uuid": f"GPU-{properties.uuid}",
                "memory_bytes": int(properties.total_memory),
                "stream_gate": self.gate.works,
                "gate_kind": self.gate.kind,
                "device_start_s": self._start_s,
                "cuda": torch.version.cuda,
            }
        return facts

    def oracle(self) -> Any:
        """The arithmetic of judging, for the reference worker."""
        from gpuprobe.gpu.kernel_oracle import TorchOracle

        return TorchOracle(self)

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
        """The model ``name`` of a module, on the device, from the packed initial inputs and a fixed seed."""
        arguments = torch.load(io.BytesIO(init), weights_only=True)
        torch.manual_seed(seed)
        return getattr(module, name)(*arguments).to(self.device)

    def adopt_state(self, model: Any, state: bytes) -> bool:
        """Load the reference's parameters where names and shapes agree; False where they do not."""
        given = torch.load(io.BytesIO(state), map_location=self.device, weights_only=True)
        own = model.state_dict()
        fits = own.keys() == given.keys() and all(own[key].shape == given[key].shape for key in own)
        if fits and own:
            model.load_state_dict(given)
        return fits

    def attach_arena(self, handle: Any) -> Any:
        """The arena as a flat tensor of bytes; a staged one is a copy on the device beside the shared file."""
        if "file" in handle:
            shared = torch.from_file(handle["file"], shared=True, size=handle["bytes"], dtype=torch.uint8)
            return self.stage(shared) if self.cuda else shared
        from torch.multiprocessing.reductions import rebuild_cuda_tensor

        size, stride, offset, *shared = unpacked(handle["cuda"])
        return rebuild_cuda_tensor(torch.Tensor, size, stride, offset, torch.storage.TypedStorage, torch.uint8, *shared)

    def stage(self, shared: Any) -> Any:
        """A device arena whose contents ``push`` and ``pull`` exchange with a shared file."""
        self._shared = shared
        self._staged = torch.zeros(shared.numel(), dtype=torch.uint8, device=self.device)
        self._carrier = torch.cuda.Stream(self.device)
        torch.cuda.synchronize()
        return self._staged

    @property
    def staged(self) -> bool:
        """Whether arena contents travel through a file, since the device's memory cannot be shared."""
        return self._shared is not None

    def push(self, ranges: list[tuple[int, int]]) -> None:
        """Copy ranges of a staged arena from the device to the file."""
        if self._shared is not None:
            self.synchronize()
            for at, size in ranges:
                self._shared[at : at + size].copy_(self._staged[at : at + size])

    def pull(self, ranges: list[tuple[int, int]]) -> None:
        """Copy ranges of a staged arena from the file to the device, past what is queued on other streams."""
        if self._shared is not None:
            with torch.cuda.stream(self._carrier):
                for at, size in ranges:
                    self._staged[at : at + size].copy_(self._shared[at : at + size])
            self._carrier.synchronize()

    def view(self, arena: Any, at: int, shape: Any, dtype: str, swapped: bool = False) -> Any:
        """An array inside the arena; ``swapped``: stored with its last two dimensions exchanged."""
        kind = getattr(torch, dtype)
        count = 1
        for size in shape:
            count *= size
        flat = arena[at : at + count * kind.itemsize].view(kind)
        if swapped and len(shape) >= 2:
            return flat.view(*shape[:-2], shape[-1], shape[-2]).transpose(-1, -2)
        return flat.view(tuple(shape))

    def flat(self, array: Any) -> Any:
        """A contiguous array as one dimension."""
        return array.view(-1)

    def empty(self, shape: Any, dtype: str) -> Any:
        """Memory as it comes."""
        return _EMPTY(tuple(shape), dtype=getattr(torch, dtype), device=self.device)

    def poison(self, array: Any) -> None:
        """Fill with NaN, or -1 for integers."""
        if array.dtype.is_floating_point:
            array.fill_(float("nan"))
        elif array.dtype != torch.bool:
            array.fill_(-1 if array.dtype.is_signed else 255)
        else:
            array.fill_(True)

    def call(self, model: Any, inputs: list[Any]) -> Any:
        """The model's outputs, without a graph for gradients."""
        with _NO_GRAD():
            return model(*inputs)

    def call_backward(self, model: Any, inputs: list[Any], floating: list[int], cotangents: list[Any]) -> Any:
        """Gradients of the floating inputs; None where the outputs do not depend on them differentiably."""
        from gpuprobe.kernel_eval.runner import flatten

        leaves = [array.detach().clone().requires_grad_(i in floating) for i, array in enumerate(inputs)]
        self.synchronize()  # inputs are there before the call, as in a call without gradients: this is about values
        outputs = flatten(model(*leaves))
        pairs = [(o, g) for o, g in zip(outputs, cotangents, strict=True) if o.requires_grad]
        if not pairs:
            return None
        found = torch.autograd.grad(
            [o for o, _ in pairs], [leaves[i] for i in floating], [g for _, g in pairs], allow_unused=True
        )
        return [torch.zeros_like(leaves[i]) if g is None else g for i, g in zip(floating, found, strict=True)]

    def copy(self, target: Any, source: Any) -> None:
        """Copy values."""
        target.copy_(_plain(source))

    def set_element(self, flat: Any, position: Any, value: Any) -> None:
        """Write one element at a position that lies on the device."""
        _CHANGE(flat, 0, position, value)

    def take(self, output: Any, looks: Any, into: Any) -> None:
        """The elements of an output at flat positions."""
        _TAKE(_plain(output), looks, out=into)

    def project(self, output: Any, seed: int, into: Any) -> None:
        """The sum of all elements of an output under random signs, over the root of their number."""
        output = _plain(output)
        order = sorted(range(output.dim()), key=lambda axis: -output.stride(axis))
        key = (tuple(output.shape), tuple(order), seed)
        if key not in self._signs:
            self._signs[key] = self._signs_of(output, order, seed)
        flat = output.permute(order).reshape(-1)
        into.copy_(_DOT(flat.double(), self._signs[key]))

    def _signs_of(self, output: Any, order: list[int], seed: int) -> Any:
        """Random signs over the root of their number, in the order in which the output lies in memory."""
        signs = np.random.default_rng(seed).integers(0, 2, output.numel()) * 2.0 - 1
        table = torch.from_numpy(signs / max(1, output.numel()) ** 0.5).reshape(tuple(output.shape))
        return table.permute(order).reshape(-1).contiguous().to(self.device)

    def fault_in(self, output: Any) -> str:
        """Why an output is not a plain tensor on the device, or an empty string."""
        if type(output) not in (torch.Tensor, torch.nn.Parameter):
            return f"not a plain tensor but {type(output).__module__}.{type(output).__qualname__}"
        if output.device != self.device:
            return f"a tensor on {output.device}, not on {self.device}"
        return "" if output.layout == torch.strided else f"a tensor of layout {output.layout}"

    def type_name(self, output: Any) -> tuple[list[int], str]:
        """Shape and dtype."""
        return list(output.shape), str(output.dtype).removeprefix("torch.")

    def synchronize(self) -> None:
        """Wait for all work of this process."""
        if self.cuda:
            _synchronize(self._driver)

    def board_arrays(self, board: Board) -> Any:
        """Memory to write witnesses to: the board's own, or page-locked memory that ``publish`` copies to the board."""
        if not self.cuda:
            return torch.frombuffer(board.memory, dtype=torch.uint8)
        return self.gate.pinned

    def queue_gate(self, board: Board, sequence: int) -> None:
        """Make the current stream wait for the gate."""
        self.gate.queue_wait(sequence)

    def queue_done(self, board: Board, sequence: int) -> None:
        """Make the current stream write the done flag."""
        self.gate.queue_done(sequence)

    def watch(self, board: Board, sequence: int) -> None:
        """Pass the gate on from a thread as well: a candidate that waits for its device while queueing stands still."""
        self.gate.latch.watch(board, sequence)

    def relay(self, board: Board, sequence: int, witness_bytes: int) -> None:
        """Pass the judge's gate on to the stream, and the stream's done flag and witnesses on to the judge."""
        wait_for(board, sequence)
        self.gate.latch.open(sequence)
        self.gate.wait_done(sequence)
        self.publish(board, witness_bytes)
        board.set_done(sequence)

    def publish(self, board: Board, witness_bytes: int) -> None:
        """Copy witnesses from page-locked memory to the board."""
        if self.cuda:
            board.memory[WITNESS_AT : WITNESS_AT + witness_bytes] = self.gate.witnesses(witness_bytes)

    def to_board(self, board_array: Any, at: int, source: Any) -> int:
        """Queue a copy of witnesses to the memory of ``board_arrays``; gives their bytes."""
        flat = source.view(-1).view(torch.uint8)
        board_array[at : at + flat.numel()].copy_(flat, non_blocking=True)
        return int(flat.numel())

    def flush(self) -> None:
        """Evict the L2 by writing twice its size."""
        if self._flush_buffer is None:
            self._flush_buffer = _EMPTY(2 * self.facts()["l2_bytes"], dtype=torch.uint8, device=self.device)
        self._flush_buffer.zero_()

    def kernels(self, model: Any, inputs: list[Any]) -> list[dict[str, Any]]:
        """Kernels that one call launches, by torch's profiler: name and time in s; none on the CPU."""
        if not self.cuda:
            return []
        from torch.profiler import ProfilerActivity, profile

        self.call(model, inputs)
        with profile(activities=[ProfilerActivity.CUDA]) as trace:
            self.call(model, inputs)
            self.synchronize()
        events = [event for event in trace.events() if event.device_type == torch.autograd.DeviceType.CUDA]
        return [{"name": event.name[:200], "time_s": float(event.device_time) * 1e-6} for event in events]

    def patched(self) -> list[str]:
        """Names among the watched whose object is no longer the one there was before the candidate was imported."""
        return [
            name
            for name, value in _WATCH().items()
            if value is not self._original[name] and value != self._original[name]
        ]

    def bar_reference(self, module: Any) -> None:
        """Make ``Model`` of a candidate's file refuse to run: a candidate that calls it returns the reference."""
        model = getattr(module, "Model", None)
        if isinstance(model, type) and isinstance(getattr(module, "ModelNew", None), type):
            if getattr(module.ModelNew, "forward", None) is getattr(model, "forward", None):
                raise ReferenceUsedError("ModelNew has no forward of its own: it is the reference")
            model.forward = _refuse  # type: ignore[attr-defined]

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error is one of memory."""
        return isinstance(error, (MemoryError, torch.OutOfMemoryError))


def _plain(output: Any) -> Any:
    """An output without its gradients: a buffer that the model keeps carries them from the backward pass on."""
    return output.detach() if output.requires_grad else output


def _refuse(*_arguments: Any, **_named: Any) -> Any:
    raise ReferenceUsedError("ModelNew calls the reference's forward")


def _synchronize(driver: Any) -> None:
    """Wait through the driver, not through names that a candidate can replace; raise what the device reports."""
    status = driver.cuCtxSynchronize()
    if status != 0:
        torch.cuda.synchronize()
        raise RuntimeError(f"the device reports CUDA driver error {status}")


def make(device: str) -> TorchBackend:
    """The backend of a worker."""
    return TorchBackend(device)


def preload() -> None:
    """Import what workers import sooner or later, without touching a device: a fork after that would be of no use."""
    for name in ("gpuprobe.gpu.kernel_oracle", "torch.multiprocessing.reductions", "torch.utils.flop_counter"):
        importlib.import_module(name)
    if importlib.util.find_spec("triton"):
        importlib.import_module("triton.language")
    importlib.import_module("torch.fx.experimental.symbolic_shapes")  # 500 modules that torch.autograd.grad asks for
