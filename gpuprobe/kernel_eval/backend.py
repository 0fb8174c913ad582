"""What a worker needs of an array library and its device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from gpuprobe.kernel_eval.board import Board


class Backend(Protocol):
    """Arrays, models and the arena are the library's own: opaque here."""

    def facts(self) -> dict[str, Any]:
        """Device, versions, ``l2_bytes``, ``uuid``, and ``stream_gate``: whether calls can be queued behind a gate."""

    def oracle(self) -> Any:
        """The arithmetic of judging with these arrays."""

    def load_module(self, path: Path) -> Any:
        """Import a task or candidate file."""

    def build(self, module: Any, name: str, init: bytes, seed: int) -> Any:
        """The model ``name`` from packed initial inputs and a seed."""

    def adopt_state(self, model: Any, state: bytes) -> bool:
        """Load packed parameters; False where they do not fit."""

    def bar_reference(self, module: Any) -> None:
        """Make ``Model`` of a candidate's file refuse to run."""

    def attach_arena(self, handle: Any) -> Any:
        """Map the arena that another process opened."""

    def view(self, arena: Any, at: int, shape: Any, dtype: str, swapped: bool = False) -> Any:
        """An array inside the arena; ``swapped``: stored with its last two dimensions exchanged."""

    def push(self, ranges: list[tuple[int, int]]) -> None:
        """Copy ranges (first byte, bytes) of a staged arena to its file; nothing to do where memory is shared."""

    def pull(self, ranges: list[tuple[int, int]]) -> None:
        """Copy ranges of a staged arena from its file."""

    def flat(self, array: Any) -> Any:
        """A contiguous array as one dimension."""

    def empty(self, shape: Any, dtype: str) -> Any:
        """Memory as it comes."""

    def poison(self, array: Any) -> None:
        """Fill with NaN, or with what no honest integer output holds."""

    def copy(self, target: Any, source: Any) -> None:
        """Copy values."""

    def call(self, model: Any, inputs: list[Any]) -> Any:
        """The model's outputs."""

    def call_backward(self, model: Any, inputs: list[Any], floating: list[int], cotangents: list[Any]) -> Any:
        """Gradients of the floating inputs, or None."""

    def fault_in(self, output: Any) -> str:
        """Why an output is no plain array on the device, or an empty string."""

    def type_name(self, output: Any) -> tuple[list[int], str]:
        """Shape and dtype of an output."""

    def kernels(self, model: Any, inputs: list[Any]) -> list[dict[str, Any]]:
        """Kernels that one call launches."""

    def set_element(self, flat: Any, position: Any, value: Any) -> None:
        """Queue the change of one element."""

    def take(self, output: Any, looks: Any, into: Any) -> None:
        """Queue the gathering of elements at flat positions."""

    def project(self, output: Any, seed: int, into: Any) -> None:
        """Queue the sum of all elements under random signs, over the root of their number."""

    def flush(self) -> None:
        """Queue the eviction of the cache."""

    def synchronize(self) -> None:
        """Wait for all work of this process."""

    def board_arrays(self, board: Board) -> Any:
        """Memory that witnesses are copied to."""

    def to_board(self, board_array: Any, at: int, source: Any) -> int:
        """Queue a copy of witnesses; gives their bytes."""

    def publish(self, board: Board, witness_bytes: int) -> None:
        """Put witnesses that have arrived onto the board."""

    def watch(self, board: Board, sequence: int) -> None:
        """Have the gate passed on even if this thread stands still."""

    def queue_gate(self, board: Board, sequence: int) -> None:
        """Queue a wait for the gate."""

    def queue_done(self, board: Board, sequence: int) -> None:
        """Queue the done flag."""

    def relay(self, board: Board, sequence: int, witness_bytes: int) -> None:
        """Pass the judge's gate on to the device, and its done flag and the witnesses back."""

    def patched(self) -> list[str]:
        """Watched functions that were replaced."""

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether an error is one of memory."""
