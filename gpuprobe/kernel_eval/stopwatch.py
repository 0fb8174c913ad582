"""The judge's clock around a batch: queue, then fresh inputs, then the gate, then the done flag, then the witnesses."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.child import Child, Fault, FaultKind, Patience

LOOKS_BETWEEN_CHECKS: Final = 20_000
QUEUE_LIMIT_S: Final = 0.5
"""A batch that is not queued by then may be waiting for its own results."""


class HostSynchronisesError(Exception):
    """The worker waits for its device while it queues a batch: its calls cannot be queued ahead."""


@dataclass
class Timed:
    """A worker with its board, timed by this process. ``limit_s``: most seconds one batch may take."""

    child: Child
    board: Board
    limit_s: float
    staged: bool = False
    queue_limit_s: float = QUEUE_LIMIT_S

    def batch(
        self,
        order: list[int],
        gate: str,
        prepare: Callable[[], Any] | None,
        witness_bytes: int,
        gap_s: float = 0.0,
        **options: Any,
    ) -> tuple[float, bytes, dict[str, Any]]:
        """Seconds from gate to done flag of one batch, the witnesses at that moment, and the worker's closing answer.

        ``prepare`` writes the inputs once the worker says that it has queued (``stream``) or stands ready (``host``);
        they lie there for ``gap_s`` before the gate is opened.
        """
        sequence = self.child.next_sequence()
        self.board.poison(witness_bytes)
        self.child.send(
            "batch",
            sequence=sequence,
            order=order,
            gate=gate,
            staged=self.staged and prepare is not None,
            **options,
        )
        if gate == "stream" and not self.child.waiting(self.queue_limit_s):
            self.board.open_gate(sequence)
            self.board.ask_load(sequence)
            self.child.answer(self.limit_s)
            self.child.answer(self.limit_s)
            raise HostSynchronisesError
        self._expect("queued")
        self._bring(prepare, sequence)
        if gap_s:
            time.sleep(gap_s)
        elapsed_s = self.run_gate(sequence)
        witnesses = self.board.witnesses(witness_bytes)
        return elapsed_s, witnesses, self._expect("finished")

    def serve(
        self, gaps_s: list[float], slots: int, prepare: Callable[[], Any] | None, witness_bytes: int, call: bool
    ) -> tuple[list[float], bytes]:
        """Latency in s of each of ``len(gaps_s)`` requests that come after these gaps, and all witnesses."""
        sequences = [self.child.next_sequence() for _ in gaps_s]
        self.board.poison(witness_bytes)
        self.child.send(
            "serve", sequences=sequences, slots=slots, call=call, staged=self.staged and prepare is not None
        )
        self._expect("queued")
        self._bring(prepare, sequences[0])
        latencies = []
        for sequence, gap_s in zip(sequences, gaps_s, strict=True):
            time.sleep(gap_s)
            latencies.append(self.run_gate(sequence))
        witnesses = self.board.witnesses(witness_bytes)
        self._expect("finished")
        return latencies, witnesses

    def _bring(self, prepare: Callable[[], Any] | None, sequence: int) -> None:
        """Have the inputs written, and where they are staged wait until the worker has them on its device."""
        if prepare is None:
            return
        prepare()
        if self.staged:
            self.board.ask_load(sequence)
            patience = Patience(self.limit_s)
            while self.board.loaded() != sequence:
                time.sleep(0)
                self._check(patience)

    def _expect(self, state: str) -> dict[str, Any]:
        answer = self.child.answer(self.limit_s)
        if answer.get("state") != state:
            self.child.kill()
            raise Fault(FaultKind.PROTOCOL, f"an answer '{answer.get('state')}' where '{state}' was due")
        return answer

    def run_gate(self, sequence: int) -> float:
        """Open the gate, wait for the done flag: seconds in between; Fault where the worker ends or takes too long."""
        collects = gc.isenabled()
        gc.disable()
        try:
            patience, looks = Patience(self.limit_s), 0
            begin_s = time.perf_counter()
            self.board.open_gate(sequence)
            while self.board.done() != sequence:
                looks += 1
                if looks % LOOKS_BETWEEN_CHECKS == 0:
                    self._check(patience)
                    self._check_failed(sequence)
            return time.perf_counter() - begin_s
        finally:
            if collects:
                gc.enable()

    def _check_failed(self, sequence: int) -> None:
        """Fault where the worker has answered already although the batch is not over: something was raised in it."""
        if self.child.waiting(1e-4) and self.board.done() != sequence:
            self.child.answer(self.limit_s)
            self.child.kill()
            raise Fault(FaultKind.PROTOCOL, "an answer before the batch was over")

    def _check(self, patience: Patience) -> None:
        self.child.check_alive()
        if patience.over():
            tail = self.child.tail()
            self.child.kill()
            raise Fault(FaultKind.HANG, f"a batch not over within {self.limit_s:.3g} s", tail)
