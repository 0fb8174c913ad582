"""Is it right: many kinds of inputs, repeated and refilled slots, strides, gradients; before the timing and after."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gpuprobe.kernel_eval.child import Fault, FaultKind
from gpuprobe.kernel_eval.findings import Finding
from gpuprobe.kernel_eval.session import Session
from gpuprobe.kernel_eval.tolerance import PRECISE, allowed, examine

REQUIRED: Final = ("given", "given", "given", "normal", "uniform", "wide", "large", "constant", "zeros")
ROBUSTNESS: Final = ("nan", "inf")
"""Kinds of inputs whose outcome is a note: what NaN becomes is the task's affair."""


WITNESS_SHARE: Final = 4.0
FINEST: Final = {"float64": 1e-15, "float32": 2e-7, "float16": 5e-4, "bfloat16": 4e-3}
"""Least error that witnesses are judged by, whatever was measured: about a rounding of the dtype."""
FINEST_OTHER: Final = 0.1
KEPT: Final = "the last call of a timed batch"
MANY: Final = 4096
"""Elements from which on the largest error is one to build on."""


@dataclass
class Correctness:
    """Findings, and by kind of input the largest error of each output with what was allowed."""

    findings: list[Finding] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    evidence: list[dict[str, Any]] = field(default_factory=list)
    bounds: list[float] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)

    def add(self, name: str, detail: str) -> None:
        """A finding, once by name."""
        if all(finding.name != name for finding in self.findings):
            self.findings.append(Finding(name, detail))

    @property
    def right(self) -> bool:
        """Whether nothing but notes was found."""
        return all(finding.gravity == "note" for finding in self.findings)


def fault_finding(fault: Fault) -> Finding:
    """A worker's fault as a finding; a call of the reference is one of its own."""
    if "ReferenceUsedError" in fault.detail:
        return Finding("returns-reference", fault.detail.partition(": ")[2])
    name = "tampers" if fault.kind == FaultKind.PROTOCOL else str(fault.kind)
    return Finding(name, fault.detail)


def check(session: Session, into: Correctness, kinds: Sequence[str]) -> None:
    """Call the candidate on fresh inputs of each kind, always in the same slot, and compare; stops at what is wrong."""
    assert session.task is not None
    for number, kind in enumerate(kinds):
        if kind != "given" and session.task.kinds and kind not in session.task.kinds:
            continue
        if not session.judge("fill", slots=[0], kind=kind, seed=_seed(), out=number % 2)["filled"]:
            continue
        if not _call_and_compare(session, into, kind, number % 2):
            return


def _call_and_compare(session: Session, into: Correctness, kind: str, out: int) -> bool:
    times = {"asked_s": time.monotonic()}
    answer = session.candidate.ask("call", session.limits.call_s, slot=0, out=out)
    times["answered_s"] = time.monotonic()
    note_patched(answer, into)
    problem = str(answer.get("problem") or "")
    if problem:
        into.add("not-a-tensor" if problem.startswith("not a plain") else "wrong-form", problem)
        return False
    compared = session.judge("compare", slot=0, out=out, seed=_seed())
    times["compared_s"] = time.monotonic()
    late = False
    if not compared["mutated"] and kind not in ROBUSTNESS and not _are_right(compared):
        compared, late = _follow(session, into, {"kind": kind, "out": out, "times": times, **_said(answer)}, compared)
    wrong = _record(into, kind, compared, robust=kind in ROBUSTNESS)
    if wrong and late:
        into.add("unsynchronised", f"{kind}: the output is right only a while after the call")
    return into.right


def _follow(
    session: Session, into: Correctness, evidence: dict[str, Any], compared: dict[str, Any]
) -> tuple[dict[str, Any], bool]:
    """What counts of an output that looks wrong, and whether the candidate's own copy of it has become right by now.

    First the same memory is compared once more. Its writer said that nothing was under way, so it must look the same;
    where it is right now it was handed over late, which is the harness's affair and not the candidate's.
    """
    out = evidence["out"]
    again = session.judge("compare", slot=0, out=out, seed=_seed())
    steps = [("at first", compared), ("same memory again", again)]
    late = False
    if _are_right(again):
        into.add("handed-over-late", f"{evidence['kind']}: outputs were right when they were compared again")
    else:
        session.candidate.ask("late", session.limits.call_s, out=out)
        later = session.judge("compare", slot=0, out=out, seed=_seed())
        steps.append(("copied again", later))
        late = _are_right(later)
    compares = [{"when": when, "stale": told["stale"], "wrong": _wrong(told["outputs"])} for when, told in steps]
    into.evidence.append({**evidence, "comparisons": compares})
    return (again if _are_right(again) else compared), late


def _are_right(compared: dict[str, Any]) -> bool:
    return not _wrong(compared["outputs"])


def _wrong(rows: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The outputs that are wrong, by number, with examples of their elements."""
    return {k: row for k, row in enumerate(rows) if any(found.gravity != "note" for found in examine(row, ""))}


def _said(answer: dict[str, Any]) -> dict[str, Any]:
    """The candidate worker's own moments: a claim."""
    return {"stamps_s": answer.get("stamps")}


def _record(into: Correctness, kind: str, compared: dict[str, Any], robust: bool) -> bool:
    """Take down what a comparison found; whether values are wrong that must be right."""
    if compared["mutated"]:
        into.add("mutates-inputs", f"{kind}: the inputs were changed, which the reference does not do")
    found = [finding for row in compared["outputs"] for finding in examine(row, kind)]
    for row in compared["outputs"]:
        into.rows.append({"kind": kind, **_slim(row), **({} if "exact" in row else {"allowed": allowed(row)})})
    wrong = any(finding.gravity != "note" for finding in found)
    if robust:
        if wrong:
            into.add("nan-lost", f"inputs with {kind}: {found[0].detail.partition(': ')[2]}")
        return False
    if compared["stale"] and wrong:
        into.add("cached-output", f"{kind}: the outputs are those of inputs seen earlier")
        return False
    for finding in found:
        into.add(finding.name, finding.detail)
    return wrong


def note_patched(answer: dict[str, Any], into: Correctness) -> None:
    """A finding where the worker says that watched functions were replaced."""
    patched = answer.get("patched")
    if patched:
        into.add("patches-harness", f"replaced: {', '.join(map(str, patched))}"[:300])


def check_kept(session: Session, into: Correctness) -> None:
    """All elements of what the last call of a timed batch gave: they were not all looked at then.

    Nothing of the candidate's runs between that call and the copy of its outputs.
    """
    slot = session.judge("resume")["slot"]
    if slot is None:
        return
    answer = session.candidate.ask("kept", session.limits.call_s, slot=slot, out=0)
    note_patched(answer, into)
    compared = session.judge("compare", slot=slot, out=0, seed=_seed())
    if not _are_right(compared):
        again = session.judge("compare", slot=slot, out=0, seed=_seed())
        into.evidence.append({"kind": KEPT, "wrong": _wrong(compared["outputs"]), "again": _wrong(again["outputs"])})
        if _are_right(again):
            into.add("handed-over-late", f"{KEPT}: right when compared again")
        else:
            found = [finding for row in again["outputs"] for finding in examine(row, KEPT)]
            into.add("differs-when-timed", found[0].detail)
    if compared["mutated"]:
        into.add("mutates-inputs", f"{KEPT}: the inputs were changed, which the reference does not do")


def check_twice(session: Session, into: Correctness) -> None:
    """The same slot with the same inputs again: the outputs must not depend on how often it was called."""
    session.judge("fill", slots=[0], kind="given", seed=_seed(), out=0)
    for _ in range(2):
        if not _call_and_compare(session, into, "same inputs again", 0):
            return


def check_strides(session: Session, into: Correctness) -> None:
    """Inputs stored with their last two dimensions exchanged; not to take them is a note."""
    assert session.task is not None
    if not any(len(spec.shape) >= 2 for spec in session.task.layout.inputs):
        return
    session.judge("fill", slots=[0], kind="given", seed=_seed(), out=0, swapped=True)
    try:
        answer = session.candidate.ask("call", session.limits.call_s, slot=0, out=0, swapped=True)
    except Fault as fault:
        if fault.kind != FaultKind.ERROR:
            raise
        into.add("needs-contiguous", f"strided inputs: {fault.detail}")
        return
    compared = session.judge("compare", slot=0, out=0, seed=_seed(), swapped=True)
    found = [finding for row in compared["outputs"] for finding in examine(row, "strided inputs")]
    if answer.get("problem") or any(finding.gravity != "note" for finding in found):
        into.add("needs-contiguous", found[0].detail if found else str(answer.get("problem")))


def check_gradients(session: Session, into: Correctness) -> None:
    """The backward pass, where both sides have one."""
    session.judge("fill", slots=[0], kind="given", seed=_seed(), out=1)
    if not session.judge("gradients", slot=0, cotangents=0, out=1, seed=_seed())["differentiable"]:
        return
    try:
        answer = session.candidate.ask("backward", session.limits.call_s, slot=0, cotangents=0, out=1)
    except Fault as fault:
        if fault.kind != FaultKind.ERROR:
            raise
        into.add("no-gradients", fault.detail)
        return
    if not answer.get("offered"):
        into.add("no-gradients", "the outputs carry no gradient function")
        return
    rows = _gradient_rows(session)
    if _wrong(rows):
        again = _gradient_rows(session)
        into.evidence.append({"kind": "gradient", "wrong": _wrong(rows), "again": _wrong(again)})
        if not _wrong(again):
            into.add("handed-over-late", "gradients were right when they were compared again")
            rows = again
    for row in rows:
        into.rows.append({"kind": "gradient", **_slim(row), "allowed": allowed(row)})
        for finding in examine(row, "gradient"):
            into.add("wrong-gradients" if finding.gravity != "note" else finding.name, finding.detail)


def _gradient_rows(session: Session) -> list[dict[str, Any]]:
    """What comparing the gradients gives; the reference's own are off by more than its outputs are."""
    told = session.judge("compare_gradients", slot=0, cotangents=0, out=1)["outputs"]
    return [{**row, "reference_error": 10 * row.get("reference_error", 0.0)} for row in told]


def _slim(row: dict[str, Any]) -> dict[str, Any]:
    """A row without examples where nothing is wrong with it."""
    return {key: value for key, value in row.items() if key != "worst" or examine(row, "")}


def set_bounds(into: Correctness, outputs: int) -> None:
    """Bounds for witnesses, from the task's own inputs: what the outputs may be off, plus the reference's own error."""
    given = [row for row in into.rows if row["kind"] == "given"]
    for k in range(outputs):
        rows = [row for i, row in enumerate(given) if i % outputs == k]
        into.bounds.append(max((_witness_bound(row) for row in rows), default=0.0))
        into.scales.append(max((row.get("scale", 0.0) for row in rows), default=0.0))
        errors = [(row["error"], row["reference_error"]) for row in rows if "error" in row]
        if into.right and errors and max(e for e, _ in errors) > PRECISE * max(1e-7, *(r for _, r in errors)):
            into.add(
                "less-precise",
                f"error {max(e for e, _ in errors):.2g} against {max(r for _, r in errors):.2g} of the reference",
            )


def _witness_bound(row: dict[str, Any]) -> float:
    """What a witness may be off: a few times what this candidate was off in all elements, so that a change is seen.

    The largest of few errors says little about the next one: outputs of few elements get what correctness allows.
    """
    if "error" not in row:
        return 0.0
    if row["elements"] < MANY:
        return float(2 * row["allowed"])
    own = row["error"] + row["reference_error"]
    return float(min(2 * row["allowed"], WITNESS_SHARE * max(own, FINEST.get(row["dtype"], FINEST_OTHER))))


def _seed() -> int:
    return secrets.randbits(31)
