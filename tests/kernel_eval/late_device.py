"""Devices that run what they are given late: in order, on a thread of their own, as a GPU does that many share.

Whoever hands memory to another process without waiting for the device hands over what was there before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Queue
from typing import Any

import numpy as np

from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.numpy_backend import NumpyBackend
from gpuprobe.kernel_eval.runner import flatten
from gpuprobe.kernel_eval.waiting import wait_for

LAG_S = "GPUPROBE_TEST_LAG_S"
"""Environment variable: seconds for which an idle device lets its work lie."""


class Late:
    """Mixed in before a backend: what its arrays are written by waits in a queue, and models behind a closed gate."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lag_s = float(os.environ.get(LAG_S, "0.05"))
        self._queue: Queue[Callable[[], Any]] = Queue()
        self._failed: BaseException | None = None
        self._gated = False
        self._opened = self._done = 0
        self._forms: dict[int, list[Any]] = {}
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            first = self._queue.get()
            time.sleep(self._lag_s)
            self._run_one(first)
            while not self._queue.empty():
                self._run_one(self._queue.get())

    def _run_one(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  raised where the device is waited for
            self._failed = error
        finally:
            self._queue.task_done()

    def synchronize(self) -> None:
        self._queue.join()
        if self._failed is not None:
            raise RuntimeError("the device reports an error") from self._failed

    def facts(self) -> dict[str, Any]:
        return {**super().facts(), "stream_gate": True}

    def oracle(self) -> Any:
        return _InOrder(self, super().oracle())

    def copy(self, target: Any, source: Any) -> None:
        self._queue.put(lambda: super(Late, self).copy(target, source))

    def poison(self, array: Any) -> None:
        self._queue.put(lambda: super(Late, self).poison(array))

    def set_element(self, flat: Any, position: Any, value: Any) -> None:
        self._queue.put(lambda: super(Late, self).set_element(flat, position, value))

    def take(self, output: Any, looks: Any, into: Any) -> None:
        self._queue.put(lambda: super(Late, self).take(output, looks, into))

    def project(self, output: Any, seed: int, into: Any) -> None:
        self._queue.put(lambda: super(Late, self).project(output, seed, into))

    def to_board(self, board_array: Any, at: int, source: Any) -> int:
        self._queue.put(lambda: super(Late, self).to_board(board_array, at, source))
        return int(source.nbytes)

    def call(self, model: Any, inputs: list[Any]) -> Any:
        """At once where nothing is queued; behind a gate later, into memory that is given back now."""
        if not self._gated or id(model) not in self._forms:
            self.synchronize()
            outputs = super().call(model, inputs)
            self._forms[id(model)] = [(tuple(o.shape), self.type_name(o)[1]) for o in flatten(outputs)]
            return outputs
        made = [self.empty(shape, dtype) for shape, dtype in self._forms[id(model)]]
        self._queue.put(lambda: self._fill(made, model, inputs))
        return made

    def _fill(self, made: list[Any], model: Any, inputs: list[Any]) -> None:
        for into, output in zip(made, flatten(super().call(model, inputs)), strict=True):
            super().copy(into, output)

    def call_backward(self, model: Any, inputs: list[Any], floating: list[int], cotangents: list[Any]) -> Any:
        self.synchronize()
        return super().call_backward(model, inputs, floating, cotangents)

    def watch(self, board: Board, sequence: int) -> None:
        """Nothing: these candidates do not wait for their device while they queue."""

    def queue_gate(self, board: Board, sequence: int) -> None:
        self._gated = True
        self._queue.put(lambda: self._stand(sequence))

    def _stand(self, sequence: int) -> None:
        while self._opened != sequence:
            time.sleep(1e-4)

    def queue_done(self, board: Board, sequence: int) -> None:
        self._queue.put(lambda: setattr(self, "_done", sequence))
        self._gated = False

    def relay(self, board: Board, sequence: int, witness_bytes: int) -> None:
        wait_for(board, sequence)
        self._opened = sequence
        while self._done != sequence:
            time.sleep(1e-4)
        self.publish(board, witness_bytes)
        board.set_done(sequence)


class _InOrder:
    """An oracle that reads what the device has written, as work on one stream does; it writes through the queue."""

    def __init__(self, backend: Any, oracle: Any) -> None:
        self._backend, self._oracle = backend, oracle

    def randomize(self, array: Any, seed: int) -> None:
        self._backend._queue.put(lambda: self._oracle.randomize(array, seed))

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._oracle, name)

        def ordered(*arguments: Any, **named: Any) -> Any:
            self._backend.synchronize()
            return method(*arguments, **named)

        return ordered


class LateNumpy(Late, NumpyBackend):
    """Numpy arrays on a late device."""

    def fault_in(self, output: Any) -> str:
        return "" if isinstance(output, np.ndarray) else super().fault_in(output)


def make(device: str) -> Any:
    """The backend of a worker; torch arrays for a device ``torch``."""
    if device != "torch":
        return LateNumpy()
    from gpuprobe.gpu.kernel_torch import TorchBackend

    class LateTorch(Late, TorchBackend):
        """Torch tensors of the CPU on a late device."""

    return LateTorch("cpu")
