"""An evaluation as JSON, as rows of a table, and as a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from gpuprobe.kernel_eval.advice import Advice
from gpuprobe.kernel_eval.evaluate import Evaluation
from gpuprobe.kernel_eval.findings import Gravity
from gpuprobe.kernel_eval.speed import Speed, fast_p, headline, latencies
from gpuprobe.kernel_eval.tolerance import CONDITIONING_SHARE, REFERENCE_SHARE, RELATIVE

SCHEMA: Final = 1
COLUMNS: Final = ("candidate", "verdict", "speed-up", "interval", "hot", "cold", "limit", "findings")
MICRO: Final = 1e6


def document(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """The JSON document of ``kernel eval``."""
    outcomes = [(row.verdict, _speedup(row)) for row in evaluations]
    return {
        "schema": SCHEMA,
        "evaluations": [_one(row) for row in evaluations],
        "fast_p": fast_p(outcomes),
        "tolerances": {
            "relative": dict(RELATIVE),
            "reference_share": REFERENCE_SHARE,
            "conditioning_share": CONDITIONING_SHARE,
            "error": "|output - truth| / (|truth| + root mean square of truth); truth is the reference in float64",
        },
    }


def _speedup(row: Evaluation) -> float | None:
    head = headline(row.speeds)
    return None if head is None else head.speedup.ratio


def _one(row: Evaluation) -> dict[str, Any]:
    return {
        "candidate": row.candidate,
        "reference": row.reference,
        "reference_is_own": row.reference == row.candidate,
        "verdict": str(row.verdict),
        "findings": [
            {"name": found.name, "gravity": str(found.gravity), "detail": found.detail} for found in row.findings
        ],
        "task": row.task,
        "checks": row.rows,
        "evidence": row.evidence,
        "contrasts": row.contrasts,
        "times": {speed.regime: _times(row, speed) for speed in row.speeds},
        "server": latencies(row.server),
        "roofline": row.roofline,
        "kernels": row.kernels,
        "advice": _advice(row.advice),
        "seconds": row.seconds,
        "detail": row.detail,
    }


def _times(row: Evaluation, speed: Speed) -> dict[str, Any]:
    regime = next(regime for regime in row.regimes if regime.name == speed.regime)
    return {
        "gate": speed.gate,
        "calls": speed.calls,
        "reference_s": speed.reference._asdict(),
        "candidate_s": speed.candidate._asdict(),
        "speedup": speed.speedup._asdict(),
        "windows_s": [list(windows) for windows in regime.rounds],
        "processes": regime.processes,
        "offsets_s": regime.offsets_s,
        "condition": regime.condition,
    }


def _advice(advice: Advice | None) -> dict[str, Any] | None:
    return None if advice is None else asdict(advice)


def cells(row: Evaluation) -> tuple[str, ...]:
    """One row of the table, for COLUMNS."""
    by_name = {speed.regime: speed for speed in row.speeds}
    head = headline(row.speeds)
    share = row.roofline.get("share") if row.roofline else None
    return (
        row.candidate,
        str(row.verdict),
        f"{head.speedup.ratio:.3f}" if head else "",
        f"{head.speedup.low:.3f} to {head.speedup.high:.3f}" if head else "",
        _micro(by_name.get("hot")),
        _micro(by_name.get("cold")),
        f"{share:.0%} {row.roofline['bound']}" if share is not None else "",
        " ".join(found.name for found in row.findings),
    )


def _micro(speed: Speed | None) -> str:
    return f"{speed.candidate.value * MICRO:.4g} us" if speed else ""


def lines(row: Evaluation) -> list[str]:
    """What a reader wants to know beside the table: what was found, and what to try next."""
    found = [f"  {finding.gravity}: {finding.name}: {finding.detail}" for finding in row.findings]
    if row.advice and row.verdict == "correct":
        evidence = "; ".join(row.advice.evidence)
        found += [f"  bound by {row.advice.bound} ({evidence})", *(f"  try: {text}" for text in row.advice.try_next)]
    if row.reference == row.candidate and Gravity.CHEAT not in {finding.gravity for finding in row.findings}:
        found.append(
            "  the reference came from the candidate's own file: give --reference to rule out that it was changed"
        )
    return found
