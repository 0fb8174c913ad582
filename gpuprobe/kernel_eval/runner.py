"""The worker that runs a model: one call for its outputs, batches for its time. It reports nothing that is believed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from gpuprobe.kernel_eval.backend import Backend
from gpuprobe.kernel_eval.board import WITNESS_AT, Board
from gpuprobe.kernel_eval.child import FaultKind
from gpuprobe.kernel_eval.layout import MOST_CALLS, Layout, layout_of
from gpuprobe.kernel_eval.waiting import wait_for

LATE_S: Final = 0.3
MOST_PREPARED: Final = 16
_MONOTONIC: Final = time.monotonic  # as it was before a candidate could replace it
SIGNS_SEED: Final = 20_611
"""Of the signs under which whole outputs are summed. They are no secret: no sum comes cheaper than its elements."""


class Runner:
    """Runs one model on the arena's slots. ``name`` is the class to build: ModelNew, or Model for the reference."""

    name = "ModelNew"

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.model: Any = None
        self.module: Any = None
        self._last: list[Any] | None = None
        self._prepared: dict[Any, list[Any]] = {}

    def fault_kind(self, error: BaseException) -> str:
        """The FaultKind of what a command raised."""
        return FaultKind.OUT_OF_MEMORY if self.backend.is_out_of_memory(error) else FaultKind.ERROR

    def do_hello(self, say: Any) -> dict[str, Any]:
        """Device and versions, once the backend is up."""
        return self.backend.facts()

    def settle(self) -> None:
        """Wait for the device before another process is told that a command is done."""
        self.backend.synchronize()

    def do_load(self, say: Any, path: str, seed: int, init_bytes: int, payload: bytes) -> dict[str, Any]:
        """Import the file and build its model with the initial inputs and the state that the payload holds."""
        self.module = self.backend.load_module(Path(path))
        self.model = self.backend.build(self.module, self.name, payload[:init_bytes], seed)
        adopted = self.backend.adopt_state(self.model, payload[init_bytes:])
        self.bar_reference()
        return {"adopted": adopted, "patched": self.backend.patched()}

    def bar_reference(self) -> None:
        """Forbid a candidate the reference of its own file."""
        self.backend.bar_reference(self.module)

    def do_attach(self, say: Any, handle: Any, layout: dict[str, Any], board: str) -> dict[str, Any]:
        """Map the arena and the board."""
        self.use(self.backend.attach_arena(handle), layout_of(layout), Board(Path(board)))
        pairs = zip(self.layout.outs[0], self.layout.outputs, strict=True)
        self._last = [self.backend.view(self.arena, at, spec.shape, spec.dtype) for at, spec in pairs]
        return {}

    def use(self, arena: Any, layout: Layout, board: Board) -> None:
        """Make the views into the arena that calls and batches need."""
        backend = self.backend
        self.arena, self.layout, self.board = arena, layout, board
        self._prepared = {}
        self.board_array = backend.board_arrays(board)
        self.looks = backend.view(arena, layout.looks, (MOST_CALLS, len(layout.outputs), layout.looks_each), "int64")
        self.positions = backend.view(arena, layout.positions, (MOST_CALLS, max(1, len(layout.floating))), "int64")
        self.values = [
            backend.view(arena, at, (MOST_CALLS,), layout.inputs[index].dtype)
            for at, index in zip(layout.values, layout.floating, strict=True)
        ]
        self.witness = [backend.empty((MOST_CALLS, layout.looks_each), spec.dtype) for spec in layout.outputs]
        self.sums = [backend.empty((MOST_CALLS,), "float64") for _ in layout.outputs]

    def slot(self, index: int, swapped: bool = False) -> list[Any]:
        """The inputs of a slot, as views; ``swapped``: with the last two dimensions exchanged in memory."""
        pairs = zip(self.layout.slots[index], self.layout.inputs, strict=True)
        return [self.backend.view(self.arena, at, spec.shape, spec.dtype, swapped) for at, spec in pairs]

    def do_call(self, say: Any, slot: int, out: int, swapped: bool = False) -> dict[str, Any]:
        """One call on a slot, waited for before and after, its outputs copied to an output slot.

        ``stamps``: moments of the system's monotonic clock in s, when the call began, was over, and was copied.
        """
        backend = self.backend
        backend.pull([self.layout.slot_range(slot), self.layout.out_range()])
        self._poison_allocator()
        backend.synchronize()
        stamps = [_MONOTONIC()]
        outputs = flatten(backend.call(self.model, self.slot(slot, swapped)))
        backend.synchronize()
        stamps.append(_MONOTONIC())
        problem = self._problem(outputs)
        if not problem:
            for at, spec, output in zip(self.layout.outs[out], self.layout.outputs, outputs, strict=True):
                backend.copy(backend.view(self.arena, at, spec.shape, spec.dtype), output)
            backend.synchronize()
            backend.push([self.layout.slot_range(slot), self.layout.out_range()])
            self._last = outputs
        return {"problem": problem, "patched": backend.patched(), "stamps": [*stamps, _MONOTONIC()]}

    def do_late(self, say: Any, out: int) -> dict[str, Any]:
        """The outputs of the last call once more, a while later: did somebody go on writing them?"""
        time.sleep(LATE_S)
        self.backend.synchronize()
        for at, spec, output in zip(self.layout.outs[out], self.layout.outputs, self._last or (), strict=False):
            self.backend.copy(self.backend.view(self.arena, at, spec.shape, spec.dtype), output)
        self.backend.synchronize()
        self.backend.push([self.layout.out_range()])
        return {}

    def do_kept(self, say: Any, slot: int, out: int) -> dict[str, Any]:
        """The outputs of the last call of a batch, copied to an output slot; no code of the model's runs."""
        for at, spec, output in zip(self.layout.outs[out], self.layout.outputs, self._last or (), strict=False):
            self.backend.copy(self.backend.view(self.arena, at, spec.shape, spec.dtype), output)
        self.backend.synchronize()
        self.backend.push([self.layout.slot_range(slot), self.layout.out_range()])
        return {"patched": self.backend.patched()}

    def do_kernels(self, say: Any, slot: int) -> dict[str, Any]:
        """Kernels that one call launches, as this process sees them: for advice only."""
        return {"kernels": self.backend.kernels(self.model, self.slot(slot))}

    def do_backward(self, say: Any, slot: int, cotangents: int, out: int) -> dict[str, Any]:
        """Gradients of the floating inputs, with the cotangents that lie in an output slot."""
        backend, layout = self.backend, self.layout
        backend.pull([layout.slot_range(slot), layout.out_range()])
        pairs = zip(layout.outs[cotangents], layout.outputs, strict=True)
        given = [backend.view(self.arena, at, spec.shape, spec.dtype) for at, spec in pairs]
        gradients = backend.call_backward(self.model, self.slot(slot), list(layout.floating), given)
        if gradients is None:
            return {"offered": False}
        for at, index, gradient in zip(layout.grads[out], layout.floating, gradients, strict=True):
            spec = layout.inputs[index]
            backend.copy(backend.view(self.arena, at, spec.shape, spec.dtype), gradient)
        backend.synchronize()
        backend.push([layout.out_range()])
        return {"offered": True}

    def _problem(self, outputs: list[Any]) -> str:
        """What is wrong with the outputs before any value is looked at."""
        expected = self.layout.outputs
        if len(outputs) != len(expected):
            return f"{len(outputs)} outputs where the reference gives {len(expected)}"
        for output, spec in zip(outputs, expected, strict=True):
            fault = self.backend.fault_in(output)
            if fault:
                return fault
            shape, dtype = self.backend.type_name(output)
            if tuple(shape) != spec.shape or dtype != spec.dtype:
                return f"an output of {dtype}{shape} where the reference gives {spec.dtype}{list(spec.shape)}"
        return ""

    def _poison_allocator(self) -> None:
        """Leave blocks full of NaN where the next outputs are likely to be allocated."""
        for spec in self.layout.outputs:
            self.backend.poison(self.backend.empty(spec.shape, spec.dtype))

    def do_batch(
        self,
        say: Any,
        sequence: int,
        order: list[int],
        gate: str,
        call: bool = True,
        flush: bool = False,
        staged: bool = False,
        whole: bool = False,
    ) -> dict[str, Any]:
        """A timed batch: for each slot in ``order`` change an element, call, take witnesses; done flag at the end.

        ``gate`` says who waits for the judge: the device's ``stream`` (everything is queued before) or the ``host``.
        ``whole``: the witness of a call is a sum over all elements of its outputs instead of a few of them.
        """
        backend = self.backend
        steps = self._steps_of(order, whole)
        if whole:  # signs and libraries are brought to the device before anything waits at the gate
            for output, into in zip(self._last or (), self.sums, strict=False):
                backend.project(output, SIGNS_SEED, into[:1])
        for witness in self._seen(whole):
            backend.poison(witness)
        backend.synchronize()
        if gate == "stream":
            backend.watch(self.board, sequence)
            backend.queue_gate(self.board, sequence)
            self._run(steps, call, flush)
            size = self._finish(len(order), whole)
            backend.queue_done(self.board, sequence)
            say({"state": "queued"})
            self._load(set(order), sequence, staged)
            backend.relay(self.board, sequence, size)
            backend.synchronize()
        else:
            say({"state": "queued"})
            self._load(set(order), sequence, staged)
            wait_for(self.board, sequence)
            self._run(steps, call, flush)
            size = self._finish(len(order), whole)
            backend.synchronize()
            backend.publish(self.board, size)
            self.board.set_done(sequence)
        return {"state": "finished", "patched": backend.patched()}

    def _seen(self, whole: bool) -> list[Any]:
        """Where the witnesses of a batch are gathered, by output."""
        return self.sums if whole else self.witness

    def _steps_of(self, order: list[int], whole: bool) -> list[Any]:
        """The steps of a batch, kept for the next of its kind."""
        key = (tuple(order), whole)
        if key not in self._prepared:
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            self._prepared[key] = self._steps(order, {index: self.slot(index) for index in set(order)}, whole)
        return self._prepared[key]

    def _steps(self, order: list[int], inputs: dict[int, list[Any]], whole: bool = False) -> list[Any]:
        """Views for every step, made beforehand: the time of a step is that of its kernels."""
        flats = {
            slot: [self.backend.flat(arrays[index]) for index in self.layout.floating]
            for slot, arrays in inputs.items()
        }
        return [
            (
                inputs[slot],
                [
                    (flat, self.positions[step, j : j + 1], self.values[j][step : step + 1])
                    for j, flat in enumerate(flats[slot])
                ],
                [
                    (None if whole else self.looks[step, k], into[step : step + 1] if whole else into[step])
                    for k, into in enumerate(self._seen(whole))
                ],
            )
            for step, slot in enumerate(order)
        ]

    def _run(self, steps: list[Any], call: bool, flush: bool) -> None:
        backend, model, outputs = self.backend, self.model, self._last
        for arrays, changes, looks in steps:
            if flush:
                backend.flush()
            for flat, position, value in changes:
                backend.set_element(flat, position, value)
            if call:
                outputs = flatten(backend.call(model, arrays))
            for output, (look, into) in zip(outputs or (), looks, strict=False):
                if look is None:
                    backend.project(output, SIGNS_SEED, into)
                else:
                    backend.take(output, look, into)
        self._last = outputs

    def _load(self, slots: set[int], sequence: int, staged: bool) -> None:
        """Take over staged inputs and tables once the judge says that they are complete."""
        if staged:
            while self.board.load() != sequence:
                time.sleep(0)
            self.backend.pull([self.layout.slot_range(slot) for slot in slots] + [self.layout.index_range()])
            self.board.set_loaded(sequence)

    def _finish(self, calls: int, whole: bool = False) -> int:
        """Queue the copy of the witnesses to where they are published from; gives their bytes."""
        at = WITNESS_AT
        for witness in self._seen(whole):
            at += self.backend.to_board(self.board_array, at, witness[:calls])
        return at - WITNESS_AT

    def do_serve(
        self, say: Any, sequences: list[int], slots: int, call: bool = True, staged: bool = False
    ) -> dict[str, Any]:
        """Answer requests one by one, each when the judge opens its gate; slots in turn."""
        backend = self.backend
        steps = self._steps(
            [index % slots for index in range(len(sequences))], {index: self.slot(index) for index in range(slots)}
        )
        for witness in self.witness:
            backend.poison(witness)
        backend.synchronize()
        say({"state": "queued"})
        self._load(set(range(slots)), sequences[0], staged)
        for index, (sequence, step) in enumerate(zip(sequences, steps, strict=True)):
            wait_for(self.board, sequence)
            self._run([step], call, flush=False)
            size = self._finish(index + 1)
            backend.synchronize()
            backend.publish(self.board, size)
            self.board.set_done(sequence)
        return {"state": "finished"}


def flatten(outputs: Any) -> list[Any]:
    """The tensors of an output that is one, or a tuple, list or dict of them."""
    if isinstance(outputs, dict):
        return [leaf for key in sorted(outputs) for leaf in flatten(outputs[key])]
    if isinstance(outputs, (tuple, list)):
        return [leaf for part in outputs for leaf in flatten(part)]
    return [] if outputs is None else [outputs]


def make(backend: Backend) -> Runner:
    """The server of a candidate worker."""
    return Runner(backend)
