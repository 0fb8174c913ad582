"""The trusted worker: makes inputs, computes what must come out, compares; it also runs the reference for its time."""

from __future__ import annotations

import base64
import random
from pathlib import Path
from typing import Any, Final

from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.layout import layout_of
from gpuprobe.kernel_eval.runner import SIGNS_SEED, Runner, flatten

AIMED: Final = 24
"""Calls of a batch in which a witness lies where an output must have moved most. Who leaves out a share of the calls
is caught but with probability (1 - share) ** 24, batch after batch."""


class Referee(Runner):
    """A Runner of ``Model`` that also holds the truth. ``backend`` brings an oracle: the arithmetic of judging."""

    name = "Model"

    def __init__(self, backend: Any) -> None:
        super().__init__(backend)
        self.oracle = backend.oracle()
        self._clones: dict[int, list[Any]] = {}
        self._earlier: list[Any] = []
        self._keeps_inputs = False
        self._after: tuple[int, list[Any]] | None = None

    def do_load_task(self, say: Any, path: str, seed: int) -> dict[str, Any]:
        """Load the reference; describe inputs and outputs; its initial inputs and state are the payload.

        No file holds them: what a process of the same user could change must not be loaded by a trusted worker. A task
        may restrict the kinds of inputs that make sense for it by a tuple ``INPUT_KINDS``.
        """
        backend = self.backend
        oracle = self.oracle = backend.oracle()
        self._clones, self._earlier = {}, []
        self.module = backend.load_module(Path(path))
        init = oracle.pack_init(self.module)
        self.model = backend.build(self.module, self.name, init, seed)
        masters = oracle.inputs(self.module, seed)
        outputs = flatten(backend.call(self.model, [oracle.clone(array) for array in masters]))
        copies = [oracle.clone(array) for array in masters]
        again = flatten(backend.call(self.model, copies))
        repeatable = all(oracle.close(one, two) for one, two in zip(outputs, again, strict=True))
        self._masters, self._keeps_inputs = masters, self._is_apart(masters, copies, again)
        return {
            "payload": init + oracle.pack_state(self.model),
            "init_bytes": len(init),
            "inputs": [oracle.spec(array) for array in masters],
            "outputs": [oracle.spec(array) for array in outputs],
            "repeatable": repeatable,
            "state_bytes": oracle.state_bytes(self.model),
            "flop": oracle.flop(self.model, masters),
            "kinds": list(getattr(self.module, "INPUT_KINDS", ())),
        }

    def _is_apart(self, masters: list[Any], inputs: list[Any], outputs: list[Any]) -> bool:
        """Whether a call left its inputs as they are and gave outputs that share no memory with them."""
        oracle = self.oracle
        kept = [oracle.clone(array) for array in outputs]
        unchanged = all(oracle.same_bytes(now, master) for now, master in zip(inputs, masters, strict=True))
        for array in inputs:
            self.backend.poison(array)
        return unchanged and all(oracle.same_bytes(now, before) for now, before in zip(outputs, kept, strict=True))

    def do_arena(self, say: Any, layout: dict[str, Any], board: str, file: str, staged: bool) -> dict[str, Any]:
        """Allocate the arena; the handle is what the candidate attaches to."""
        arena, handle = self.oracle.open_arena(layout["bytes"], Path(file), staged)
        self.use(arena, layout_of(layout), Board(Path(board)))
        return {"handle": handle}

    def do_fill(
        self,
        say: Any,
        slots: list[int],
        kind: str,
        seed: int,
        out: int | None = None,
        swapped: bool = False,
    ) -> dict[str, Any]:
        """Fresh inputs into slots (kept here as well), poison into an output slot; none where a kind is senseless."""
        filled = []
        for step, slot in enumerate(slots):
            arrays = self.oracle.variant(kind, self.module, self._masters, seed + step)
            if arrays is None:
                break
            self._clones[slot] = arrays
            for target, source in zip(self.slot(slot, swapped), arrays, strict=True):
                self.backend.copy(target, source)
            filled.append(slot)
        if out is not None:
            self._poison_out(out)
        self.backend.synchronize()
        self.backend.push(
            [self.layout.slot_range(slot) for slot in filled] + [self.layout.out_range()] * (out is not None)
        )
        return {"filled": filled}

    def _poison_out(self, out: int) -> None:
        layout = self.layout
        targets = [(at, spec) for at, spec in zip(layout.outs[out], layout.outputs, strict=True)]
        targets += [(at, layout.inputs[i]) for at, i in zip(layout.grads[out], layout.floating, strict=True)]
        for at, spec in targets:
            self.backend.poison(self.backend.view(self.arena, at, spec.shape, spec.dtype))

    def do_compare(self, say: Any, slot: int, out: int, seed: int, swapped: bool = False) -> dict[str, Any]:
        """Errors of the outputs in an output slot, against what the inputs of a slot must give.

        ``stale``: they are the right ones of inputs seen earlier; ``poison``: they hold what memory was filled with
        before; ``mutated``: the inputs were changed, and not as the reference changes them.
        """
        oracle, layout = self.oracle, self.layout
        self.backend.pull([layout.out_range(), layout.slot_range(slot)])
        inputs = [oracle.clone(array) for array in self._clones[slot]]
        reference = flatten(self.backend.call(self.model, inputs))
        pairs = list(zip(layout.outs[out], layout.outputs, strict=True))
        candidate = [self.backend.view(self.arena, at, spec.shape, spec.dtype) for at, spec in pairs]
        truth = oracle.truth(self.model, self._clones[slot])
        jittered = oracle.truth(self.model, oracle.jitter(self._clones[slot], seed))
        rows = [
            oracle.errors(candidate[k], reference[k], truth and truth[k], jittered and jittered[k])
            for k in range(len(reference))
        ]
        stale = any(
            all(oracle.close(c, e) for c, e in zip(candidate, earlier, strict=True)) for earlier in self._earlier
        ) and not all(oracle.close(c, r) for c, r in zip(candidate, reference, strict=True))
        mutated = not all(
            oracle.same_bytes(now, kept) for now, kept in zip(self.slot(slot, swapped), inputs, strict=True)
        )
        self._earlier = [*self._earlier, [oracle.clone(array) for array in reference]][-2:]
        return {"outputs": rows, "stale": stale, "mutated": mutated}

    def do_resume(self, say: Any) -> dict[str, Any]:
        """Take the inputs as the last call of the batch that was prepared last has them; gives their slot.

        None where the reference changes its inputs itself.
        """
        if self._after is None or not self._keeps_inputs:
            return {"slot": None}
        slot, arrays = self._after
        self._clones[slot] = arrays
        return {"slot": slot}

    def do_gradients(self, say: Any, slot: int, cotangents: int, out: int, seed: int) -> dict[str, Any]:
        """Put random cotangents into an output slot, for both sides' backward passes.

        Where inputs are structured (triangular, symmetric) a candidate may use that, and gradients of what cannot vary
        are nobody's business. Nor is which of its gradients a kink at zero has: no input stays exactly there by chance.
        """
        layout, backend = self.layout, self.backend
        for index in layout.floating:
            self.oracle.off_zero(self._clones[slot][index])
            backend.copy(self.slot(slot)[index], self._clones[slot][index])
        pairs = list(zip(layout.outs[cotangents], layout.outputs, strict=True))
        for step, (at, spec) in enumerate(pairs):
            self.oracle.randomize(backend.view(self.arena, at, spec.shape, spec.dtype), seed + step)
        self._poison_grads(out)
        backend.synchronize()
        backend.push([layout.slot_range(slot), layout.out_range()])
        given = [backend.view(self.arena, at, spec.shape, spec.dtype) for at, spec in pairs]
        inputs = [self.oracle.clone(array) for array in self._clones[slot]]
        floating = list(layout.floating)
        has = floating and backend.call_backward(self.model, inputs, floating, given) is not None
        free = not any(self.oracle.is_structured(self._masters[index]) for index in layout.floating)
        return {"differentiable": bool(has) and free}

    def _poison_grads(self, out: int) -> None:
        for at, index in zip(self.layout.grads[out], self.layout.floating, strict=True):
            spec = self.layout.inputs[index]
            self.backend.poison(self.backend.view(self.arena, at, spec.shape, spec.dtype))

    def do_compare_gradients(self, say: Any, slot: int, cotangents: int, out: int) -> dict[str, Any]:
        """Errors of the gradients in an output slot against the reference's."""
        layout, backend = self.layout, self.backend
        backend.pull([layout.out_range()])
        pairs = zip(layout.outs[cotangents], layout.outputs, strict=True)
        given = [backend.view(self.arena, at, spec.shape, spec.dtype) for at, spec in pairs]
        inputs = [self.oracle.clone(array) for array in self._clones[slot]]
        gradients = backend.call_backward(self.model, inputs, list(layout.floating), given)
        if gradients is None:
            return {"outputs": []}
        truth = self.oracle.true_gradients(self.model, self._clones[slot], list(layout.floating), given)
        rows = []
        for j, (at, index) in enumerate(zip(layout.grads[out], layout.floating, strict=True)):
            spec = layout.inputs[index]
            found = backend.view(self.arena, at, spec.shape, spec.dtype)
            rows.append(self.oracle.errors(found, gradients[j], truth and truth[j], None))
        return {"outputs": rows}

    def do_prepare(
        self,
        say: Any,
        order: list[int],
        seed: int,
        change: bool,
        call: bool,
        fresh: bool = True,
        whole: bool = False,
    ) -> dict[str, Any]:
        """What a batch needs: inputs in its slots, which element changes to what before each call, what to witness.

        With ``call`` the inputs are ``fresh`` (or those of the batch before), and the answer holds the reference's
        values of the witnesses (float64, calls x outputs x looks, base 64): no file, which a candidate could read.
        ``change`` False writes the value that is already there: the same work for who does it, none for who remembers.
        """
        used = sorted(set(order))
        for step, slot in enumerate(used):
            if (call and fresh) or slot not in self._clones:
                self._clones[slot] = self.oracle.inputs(self.module, seed + step)
        positions, values = self._changes(order, seed, change)
        looks = self.oracle.looks(self.layout, len(order), seed)
        scales, expected = self._expect(order, positions, values, looks, whole) if call else ([], b"")
        self.backend.synchronize()
        self._reveal(used, positions, values, looks)
        return {"scales": scales, "expected": base64.b64encode(expected).decode()}

    def _changes(self, order: list[int], seed: int, change: bool) -> tuple[Any, list[Any]]:
        sources = {slot: [self._clones[slot][index] for index in self.layout.floating] for slot in set(order)}
        positions, values = self.oracle.changes(sources, order, seed, change)
        return positions, values

    def _reveal(self, slots: list[int], positions: Any, values: list[Any], looks: Any) -> None:
        """Copy what a batch needs into the arena, at the last moment: until now nothing could be computed from it."""
        layout, backend, calls = self.layout, self.backend, len(positions)
        if layout.floating:
            backend.copy(self.positions[:calls], positions)
        for target, source in zip(self.values, values, strict=True):
            backend.copy(target[:calls], source)
        backend.copy(self.looks[:calls], looks)
        for slot in slots:
            for target, source in zip(self.slot(slot), self._clones[slot], strict=True):
                backend.copy(target, source)
        backend.synchronize()
        backend.push([layout.slot_range(slot) for slot in slots] + [layout.index_range()])

    def _expect(
        self,
        order: list[int],
        positions: Any,
        values: list[Any],
        looks: Any,
        whole: bool,
    ) -> tuple[list[float], bytes]:
        """Run the reference over a batch on copies of its inputs: the outputs' scales, and its witnesses as float64.

        In ``AIMED`` calls, drawn at random, one witness of each output is put where the change of the inputs moved it
        most.
        """
        oracle, layout = self.oracle, self.layout
        aimed = set(random.SystemRandom().sample(range(len(order)), min(AIMED, len(order))))
        state = {slot: [oracle.clone(array) for array in self._clones[slot]] for slot in set(order)}
        before: dict[int, list[Any]] = {}
        rows = []
        for step, slot in enumerate(order):
            for j, index in enumerate(layout.floating):
                flat = self.backend.flat(state[slot][index])
                self.backend.set_element(flat, positions[step, j : j + 1], values[j][step : step + 1])
            given = state[slot] if self._keeps_inputs else [oracle.clone(array) for array in state[slot]]
            outputs = flatten(self.backend.call(self.model, given))
            for k, output in enumerate(outputs):
                if slot in before and step in aimed:
                    looks[step, k, 0] = oracle.most_moved(output, before[slot][k])
            if whole:
                rows.append([self._projected(output) for output in outputs])
            else:
                rows.append([oracle.gathered(output, looks[step, k]) for k, output in enumerate(outputs)])
            before[slot] = outputs
        self._after = (order[-1], state[order[-1]])
        return [oracle.scale(array) for array in before[order[-1]]], oracle.rows_bytes(rows)

    def _projected(self, output: Any) -> Any:
        """The signed sum of an output."""
        into = self.backend.empty((1,), "float64")
        self.backend.project(output, SIGNS_SEED, into)
        return into


def make(backend: Any) -> Referee:
    """The server of a reference worker."""
    return Referee(backend)
