"""The workers and their arena: what the judge can ask of them. Answers of the candidate are used as claims only."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.kernel_eval.board import Board
from gpuprobe.kernel_eval.child import Child, Fault, FaultKind
from gpuprobe.kernel_eval.layout import Layout, lay_out, spec_of
from gpuprobe.kernel_eval.stopwatch import Timed
from gpuprobe.kernel_eval.tolerance import decode

COLD_L2_MULTIPLE = 4
MOST_SLOTS = 128
MOST_SLOT_BYTES = 6 << 30


@dataclass(frozen=True)
class Limits:
    """Seconds for importing and building, for one call or batch, and bytes of host memory of the candidate."""

    load_s: float = 300.0
    call_s: float = 30.0
    memory_bytes: int | None = 32 << 30


@dataclass
class Task:
    """What the reference worker says of a task: the model's inputs and outputs, work and state."""

    layout: Layout
    flop: int
    state_bytes: int
    facts: dict[str, Any]
    cold_slots: int
    flushes: bool
    kinds: tuple[str, ...] = ()


def start(role: str, backend: str, device: str, folder: Path, limits: Limits) -> Child:
    """A worker process of a role, with the candidate's memory under its limit."""
    memory = limits.memory_bytes if role == "candidate" else None
    return Child([role, backend, device], folder, memory)


@dataclass
class Session:
    """Three workers that share an arena in ``folder``: one judges, one runs the reference, one the candidate.

    ``keep_reference`` leaves the first two alive at the end, for the next candidate of a trusted task.
    """

    folder: Path
    reference: Child
    pace: Child
    candidate: Child
    limits: Limits
    keep_reference: bool = False
    task: Task | None = None
    boards: list[Board] = field(default_factory=list)
    _lent: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep_reference:
            self.reference.kill()
        self._end(self.pace)
        self.candidate.kill()
        for board in self.boards:
            board.close()

    def _end(self, pace: Child) -> None:
        """End a pace worker, but not the one that the next candidate gets."""
        if not self.keep_reference or (self._lent is not None and pace is not self._lent):
            pace.kill()

    def judge(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Ask the reference worker; its failure is an error of the task, not a verdict."""
        try:
            return self.reference.ask(command, self.limits.load_s, **arguments)
        except Fault as fault:
            raise task_error(command, fault) from fault

    def _hello(self) -> dict[str, Any]:
        """What the reference worker runs on; where it cannot start, the machine lacks something."""
        try:
            return self.reference.ask("hello", self.limits.load_s)
        except Fault as fault:
            why = (fault.trace.splitlines() or [fault.detail])[-1]
            hint = "evaluating needs torch, with CUDA unless --device cpu is given; --backend numpy needs neither"
            raise GpuprobeError(f"no kernel can be evaluated here: {why}", hint, Exit.MACHINE_LACKS) from fault

    def load_reference(self, path: Path) -> Task:
        """Load the task and lay out the arena."""
        facts = self._hello()
        self._seed = secrets.randbits(31)
        try:
            told, self._given = self.reference.ask_bytes(
                "load_task", self.limits.load_s, path=str(path.resolve()), seed=self._seed
            )
        except Fault as fault:
            raise task_error("load_task", fault) from fault
        if not told["repeatable"]:
            raise GpuprobeError(
                f"{path}: the reference gives different outputs for the same inputs",
                "evaluate a task without randomness",
            )
        inputs, outputs = ([spec_of(spec) for spec in told[key]] for key in ("inputs", "outputs"))
        slots, flushes = cold_plan(sum(spec.bytes for spec in inputs), facts["l2_bytes"])
        layout = lay_out(inputs, outputs, max(2, slots))
        boards = [Board(self.folder / f"board-{role}") for role in ("pace", "candidate", "reference")]
        self.boards = boards
        self.task = Task(layout, told["flop"], told["state_bytes"], facts, slots, flushes, tuple(told["kinds"]))
        self._init_bytes = int(told["init_bytes"])
        self._task_file, self._lent = path.resolve(), self.pace
        self._load_pace()
        self.clock_reference = Timed(self.pace, boards[0], self.limits.call_s)
        self.clock_candidate = Timed(self.candidate, boards[1], self.limits.call_s)
        return self.task

    def load_candidate(self, path: Path) -> dict[str, Any]:
        """Import the candidate's copy of its file and map the arena; Fault where it cannot."""
        answer = self._load_copy(path)
        self._share_arena()
        return answer

    def _load_copy(self, path: Path) -> dict[str, Any]:
        """Have the candidate's worker import a copy of its file."""
        source = self.candidate.folder / path.name
        shutil.copyfile(path, source)
        return self._load(self.candidate, source)

    def _load_pace(self) -> None:
        try:
            self._load(self.pace, self._task_file)
        except Fault as fault:
            raise task_error("load", fault) from fault

    def enlist(self, worker: Child) -> Timed:
        """Map the arena into a further worker; its clock, for ``renew``."""
        board = Board(self.folder / f"board-{len(self.boards)}")
        self.boards.append(board)
        self._attach_to(worker, board)
        return Timed(worker, board, self.limits.call_s, self.staged)

    def renew(self, pace: Timed, candidate: Timed, path: Path) -> dict[str, Any]:
        """Go on with fresh processes of both timed sides, which were enlisted; the earlier ones end.

        Gives what the candidate's said when it had loaded its file.
        """
        self._end(self.pace)
        self.candidate.kill()
        self.pace, self.candidate = pace.child, candidate.child
        pace.queue_limit_s = candidate.queue_limit_s = self.clock_candidate.queue_limit_s
        self.clock_reference, self.clock_candidate = pace, candidate
        self._load_pace()
        return self._load_copy(path)

    def _load(self, worker: Child, path: Path) -> dict[str, Any]:
        """Have a worker build its model with the reference's initial inputs and state, which travel by pipe."""
        return worker.ask(
            "load", self.limits.load_s, self._given, path=str(path), seed=self._seed, init_bytes=self._init_bytes
        )

    def _share_arena(self) -> None:
        """Map one arena into both workers; by way of a file where the device's memory cannot be shared."""
        self.staged = False
        try:
            self._attach(staged=False)
        except Fault as fault:
            if fault.kind != FaultKind.ERROR:
                raise
            self.staged = True
            self._attach(staged=True)
        self.clock_candidate.staged = self.clock_reference.staged = self.staged

    def _attach(self, staged: bool) -> None:
        assert self.task is not None
        layout, board, file = self.task.layout.document(), str(self.boards[2].path), str(self.folder / "arena")
        told = self.reference.ask("arena", self.limits.load_s, layout=layout, board=board, file=file, staged=staged)
        self._handle = told["handle"]
        for worker, its_board in zip((self.pace, self.candidate), self.boards, strict=False):
            self._attach_to(worker, its_board)

    def _attach_to(self, worker: Child, board: Board) -> None:
        """Map the arena and a board into a worker that is timed."""
        assert self.task is not None
        layout = self.task.layout.document()
        worker.ask("attach", self.limits.load_s, handle=self._handle, layout=layout, board=str(board.path))

    def warm_pace(self) -> None:
        """One call of the reference by its own worker."""
        try:
            self.pace.ask("call", self.limits.load_s, slot=0, out=0)
        except Fault as fault:
            raise task_error("call", fault) from fault

    def witness_bytes(self, calls: int) -> int:
        """Bytes of witnesses of a batch on the board."""
        assert self.task is not None
        layout = self.task.layout
        return sum(calls * layout.looks_each * spec.item_bytes for spec in layout.outputs)

    def sums_bytes(self, calls: int) -> int:
        """Bytes of the signed sums of a batch on the board."""
        assert self.task is not None
        return 8 * calls * len(self.task.layout.outputs)

    def decode_sums(self, data: bytes, calls: int) -> Any:
        """Signed sums of whole outputs from the board: calls x outputs x 1."""
        assert self.task is not None
        return np.frombuffer(data).reshape(len(self.task.layout.outputs), calls).T[:, :, None]

    def decode_witnesses(self, data: bytes, calls: int) -> Any:
        """Witnesses from the board as float64: calls x outputs x looks."""
        assert self.task is not None
        layout, at, columns = self.task.layout, 0, []
        for spec in layout.outputs:
            size = calls * layout.looks_each * spec.item_bytes
            columns.append(decode(data[at : at + size], spec.dtype, calls, layout.looks_each))
            at += size
        return np.stack(columns, axis=1)


def task_error(doing: str, fault: Fault) -> GpuprobeError:
    """A fault of the reference as an error of the task."""
    return GpuprobeError(
        f"the reference failed at '{doing}': {fault.detail}",
        "the reference must run by itself: " + (fault.trace.splitlines() or ["see its file"])[-1][:300],
        Exit.CHECK_FAILED,
    )


def cold_plan(set_bytes: int, l2_bytes: int) -> tuple[int, bool]:
    """How many sets of inputs make a rotation cold, and whether the L2 must be flushed as well (too many would be)."""
    wanted = -(-COLD_L2_MULTIPLE * l2_bytes // max(1, set_bytes))
    possible = max(2, min(MOST_SLOTS, MOST_SLOT_BYTES // max(1, set_bytes)))
    slots = max(2, min(wanted, possible))
    return slots, slots < wanted
