"""An analysis of traces as tables. What files hold is untrusted: names are shown without control characters."""

from __future__ import annotations

from typing import Any

from gpuprobe.cli.output import note, table

WARNING_WIDTH = 300
"""Characters: warnings are ours, but name what files hold."""
_BUSY = ("compute_ns", "communication_ns", "memory_ns")


def show(document: dict[str, Any], top: int) -> None:
    """Print what an analysis says of each file, of ranks together and of a sweep; ``top`` bounds lists of names."""
    for part in document.get("files", [document]):
        _show_one(part, top)
    if "ranks" in document:
        title = f"ranks; straggler: {document['ranks']['straggler']}"
        rows = document["ranks"]["ranks"]
        _show_rows(title, rows, "rank", "file", "waiting_ns", "came_last", "clock_offset_ns")
    if "sweep" in document:
        sweep = document["sweep"]
        title = f"sweep; turns from CPU- to GPU-bound at batch {sweep['turns_at']}"
        _show_rows(title, sweep["points"], "batch", "tklqt_per_kernel_ns")
    for warning in document.get("warnings", []) if "files" in document else []:
        note(f"warning: {plain(warning, WARNING_WIDTH)}")


def _show_one(document: dict[str, Any], top: int) -> None:
    verdict = document["verdict"]
    print(f"{plain(document['file'])}: {verdict['bound']}-bound")
    evidence = [[key.replace("_", " "), _number(value)] for key, value in verdict.items() if key != "bound"]
    table(("evidence", "value"), evidence, right=("value",))
    _show_mapping("devices: where the time goes", document["breakdown"]["devices"])
    _show_mapping("idle by cause", {key: row["causes_ns"] for key, row in document["idle"].items()})
    _show_parts(document, top)
    spread = ("share", "median_ns", "p95_ns", "max_ns")
    _show_rows("kernels", document["kernels"][:top], "name", "count", "sum_ns", *spread)
    calls = ("calls", "gpu_events", "call_median_ns", "delay_median_ns")
    _show_rows("launches", document["launches"]["by_api"], "api", *calls)
    _show_mapping("launch-to-start time (TKLQT)", document["skip"]["tklqt"])
    _show_transfers(document, top)
    _show_mapping("critical path", {"time": document["critical_path"]["bound_ns"]})
    _show_roofline(document["roofline"], top)
    _show_energy(document["energy"])
    fusion = document["fusion"]
    print(
        f"fusion: {fusion['candidates']} chains would save {fusion['launches_saved']} launches, {fusion['saved_ns']} ns"
    )
    for warning in document["warnings"]:
        note(f"warning: {plain(warning, WARNING_WIDTH)}")


def _show_parts(document: dict[str, Any], top: int) -> None:
    """Steps, phases, and streams with their queues, where there is more than one thing to tell apart."""
    parts = document["breakdown"]
    columns = ("window_ns", "compute_ns", "exposed_communication_ns", "exposed_memory_ns", "idle_ns", "launched_events")
    for title, rows in (
        ("steps", parts["steps"]),
        ("phases", sorted(parts["phases"], key=lambda row: -row["window_ns"])),
    ):
        if rows:
            more = f" ({top} of {len(rows)}; all with --json)" if len(rows) > top else ""
            _show_rows(f"{title}{more}", rows[:top], "name", *columns)
    streams = {
        name: {
            "compute_ns": row["compute_ns"],
            "communication_ns": row["communication_union_ns"],
            "memory_ns": row["memory_union_ns"],
            **{key: document["queue"].get(name, {}).get(key) for key in ("depth_mean", "depth_max", "waiting_share")},
        }
        for name, row in parts["streams"].items()
    }
    busiest = sorted(streams, key=lambda name: -sum(streams[name][key] for key in _BUSY))[:top]
    _show_mapping("streams and their queues", {name: streams[name] for name in busiest})


def _show_transfers(document: dict[str, Any], top: int) -> None:
    """Copies and sets with their bandwidth, collectives with theirs."""
    if copies := document["copies"]:
        columns = ("count", "bytes", "sum_ns", "behind_compute_ns", "bandwidth_bytes_per_s")
        _show_rows("copies and sets", copies[:top], "name", *columns)
    if collectives := document["collectives"]:
        facts = ("dtype", "bytes", "ranks", "count", "sum_ns", "median_ns", "best_bus_bytes_per_s")
        _show_rows("collectives", collectives[:top], "collective", *facts)


def _show_roofline(roofline: dict[str, Any], top: int) -> None:
    """Operators by what they take beyond the expected time."""
    for problem in roofline["problems"]:
        note(f"roofline: {problem}")
    if not roofline["operators"]:
        return
    columns = ("name", "shapes", "calls", "median_ns", "bound", "share_of_limit", "expected_ns", "excess_ns", "outlier")
    rows = [
        {**row, "shapes": str(row["shapes"])[:60], "outlier": row["outlier"] or ""} for row in roofline["operators"]
    ]
    title = f"operators against the limits ({roofline['covered_share']:.0%} of kernel time has shapes)"
    _show_rows(title, [{**row, "bound": row["bound"] or ""} for row in rows[:top]], *columns)


def _show_energy(energy: dict[str, Any]) -> None:
    """Energy by class and phase, or why there is none."""
    for problem in energy["problems"]:
        note(f"energy: {problem}")
    for label, device in energy["devices"].items():
        title = f"energy of device {label}: {device['total_j']:.4g} J in {device['seconds']:.3g} s"
        _show_mapping(f"{title}, {device['ticks']} ticks", device["classes"])
        told = {name: row for name, row in device["phases"].items() if "energy_j" in row}
        columns = ("count", "seconds", "energy_j", "energy_j_low", "energy_j_high")
        _show_mapping("energy by phase", {name: {key: row[key] for key in columns} for name, row in told.items()})


def _show_rows(title: str, rows: list[dict[str, Any]], *columns: str) -> None:
    """Print some keys of rows as a table."""
    table(columns, [cells(row, columns) for row in rows], title, right=columns[1:])


def _show_mapping(title: str, rows: dict[str, dict[str, Any]]) -> None:
    """Print a table of named rows that share their columns."""
    columns = ("", *next(iter(rows.values()))) if rows else ("",)
    cells = [[plain(name), *(_number(row[key]) for key in columns[1:])] for name, row in rows.items()]
    table(columns, cells, title, right=columns[1:])


def cells(row: dict[str, Any], columns: tuple[str, ...]) -> list[str]:
    """The values of some keys of a row as text."""
    return [plain(row[key]) if isinstance(row[key], str) else _number(row[key]) for key in columns]


def _number(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) and abs(value) < 1e4 else f"{value:.0f}"


def plain(text: str, width: int = 80) -> str:
    """Text of an untrusted file without control characters, cut to a width."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= width else shown[: width - 1] + "…"


def _bound(series: dict[str, Any]) -> str:
    """Where a series turns GPU-bound; where TKLQT shows no turn, what its points are bound by."""
    if series["turns_at"] is not None:
        return f"turns GPU-bound at batch {series['turns_at']}"
    bounds = sorted({point["bound"] for point in series["points"]})
    known = {"cpu": "stays CPU-bound", "gpu": "is GPU-bound throughout"}
    return (
        known[bounds[0]] if len(bounds) == 1 and bounds[0] in known else f"shows no turn (bound: {', '.join(bounds)})"
    )


def show_sweep(report: dict[str, Any]) -> None:
    """Print the points of each series and where it turns."""
    for series in report["sweeps"]:
        what = f"{series['model']} {series['phase']}, context {series['context']}, {series['mode']}"
        print(f"{what}: {_bound(series)}")
        print(f"  {series['evidence']}")
        columns = ("batch", "step_ns", "tokens_per_s", "kernels_per_step", "tklqt_per_kernel_ns", "gpu_busy_share")
        _show_rows("points", series["points"], *columns, "found_idle_share", "bound", "energy_per_token_j")
