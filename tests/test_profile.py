"""Profiles: derived from runs, read and written, published ones with a source for every number."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from recording import ENVIRONMENT, h100

from gpuprobe import profile_files, resources
from gpuprobe.cli.profile import command
from gpuprobe.errors import GpuprobeError
from gpuprobe.probe import discover
from gpuprobe.profile import (
    SECTIONS,
    Bandwidth,
    Curve,
    DeviceProfile,
    Latency,
    Peak,
    Value,
    from_document,
    to_document,
    value_of,
    write,
)
from gpuprobe.profile_of_run import RULES, profile_of
from gpuprobe.record import Measurement, Params, Run
from gpuprobe.run_files import read_run, write_run

PUBLISHED = ("a100-sxm-80gb", "l40s", "rtx-4090")


def measured(
    name: str, quantity: str, unit: str, value: float, params: Params, flags: tuple[str, ...] = ()
) -> Measurement:
    return Measurement(name, quantity, params, unit, (value,), value, value * 0.99, value * 1.01, flags=flags)


def run_of(*rows: Measurement) -> Run:
    return Run("r1", "2026-01-02T00:00:00+00:00", "synthetic", "full", h100(), ENVIRONMENT, rows)


@cache
def recorded() -> Run:
    return read_run(resources.folder("reports") / "h100-sxm" / "run.json.gz")


# --- derived ----------------------------------------------------------------------------------------------------


def test_every_number_of_a_derived_profile_is_a_measurement_or_of_the_data_sheet() -> None:
    run = recorded()
    held = {row.value for row in run.measurements} | {number.value for number in run.device.numbers.values()}
    found = profile_of(run)
    parts = [part for section in SECTIONS for part in getattr(found, section)]
    values = [
        value
        for part in parts
        for value in ([v for _, v in part.points] if isinstance(part, Curve) else [value_of(part)])
    ]
    assert len(values) > 40
    stray = [value for value in values if value.value not in held and not value.source.endswith("times SMs and clock")]
    assert stray == []
    assert {value.origin for value in values} == {"measured", "datasheet"}
    assert all(value.source for value in values)


def test_the_recorded_h100_in_a_few_numbers() -> None:
    found = profile_of(recorded())
    for kind, operands, low, high in (("f16", "random", 9.2e14, 1.0e15), ("f16", "zero", 9.2e14, 1.02e15)):
        peak = found.peak(kind, operands)
        assert peak is not None and low < peak.value < high and peak.low <= peak.value <= peak.high
    assert found.peak("f16", instruction="mma.sync").value < found.peak("f16").value  # type: ignore[union-attr]
    dram, latency = found.bandwidth("DRAM"), found.latency("DRAM")
    assert dram is not None and 2.9e12 < dram.value < 3.35e12 and dram.origin == "measured"
    assert latency is not None and 600 < latency.value < 750
    curve = found.curve("latency past L1")
    assert curve is not None and curve.at(16 << 20).value < curve.at(2 << 30).value
    assert found.launch("graph node, period").value < found.launch("kernel on a stream, period").value  # type: ignore[union-attr]


def test_the_best_of_a_grid_is_taken_and_emulated_rows_are_not() -> None:
    rows = [
        measured("mma_rate", "throughput", "FLOP/s", rate, {"TYPE": "F16", "ILP": ilp, "OPERANDS": "random"})
        for ilp, rate in ((1, 3e14), (4, 6e14), (8, 5e14))
    ]
    emulated = measured(
        "mma_rate", "throughput", "FLOP/s", 9e15, {"TYPE": "E4M3_F32_M16N8K32", "OPERANDS": "random"}, ("emulated",)
    )
    found = profile_of(run_of(*rows, emulated))
    assert [peak.rate.value for peak in found.peaks if peak.instruction == "mma.sync"] == [6e14]
    assert found.peak("e4m3").origin == "datasheet"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("params", "kind", "instruction"),
    [
        ({"TYPE": "F16"}, "f16", "wgmma"),
        ({"TYPE": "F16_F16", "SPARSE": 0}, "f16_acc16", "wgmma"),
        ({"TYPE": "E4M3", "SPARSE": 1}, "e4m3", "wgmma sparse"),
        ({"TYPE": "S8_M16N8K32"}, "s8", "wgmma"),
        ({"TYPE": "SP_TF32_F32_M16N8K16"}, "tf32", "wgmma sparse"),
        ({"TYPE": "F16_F16_M16N8K16"}, "f16_acc16", "wgmma"),
    ],
)
def test_types_of_tensor_probes(params: Params, kind: str, instruction: str) -> None:
    row = measured("wgmma_rate", "throughput", "FLOP/s", 1e15, params)
    (peak,) = [peak for peak in profile_of(run_of(row)).peaks if peak.rate.origin == "measured"]
    assert (peak.kind, peak.instruction) == (kind, instruction)


def test_rates_per_clock_become_rates_of_the_gpu_at_the_measured_clock() -> None:
    rows = [
        replace(measured(name, "rate", unit, 128.0, params), sm_clock_hz=1.7e9)
        for name, unit, params in (
            ("l1_bandwidth", "B/cycle/SM", {"WIDTH": 16}),
            ("shared_bandwidth", "B/cycle/SM", {"OP": "LD", "WIDTH": 16}),
            ("op_rate", "op/cycle/SM", {"OP": "FFMA", "ILP": 4, "WARPS": 16}),
        )
    ]
    found = profile_of(run_of(*rows))
    assert found.bandwidth("L1").value == found.bandwidth("shared").value == 128 * 132 * 1.7e9  # type: ignore[union-attr]
    assert found.peak("fp32").value == 2 * 128 * 132 * 1.7e9  # type: ignore[union-attr]
    unclocked = profile_of(run_of(replace(rows[0], sm_clock_hz=None)))
    assert unclocked.bandwidth("L1") is None


def test_a_sparse_rate_is_no_dense_peak() -> None:
    row = measured("wgmma_rate", "throughput", "FLOP/s", 9e15, {"TYPE": "F16", "SPARSE": 1, "OPERANDS": "random"})
    found = profile_of(run_of(row))
    assert found.peak("f16").origin == "datasheet"  # type: ignore[union-attr]
    assert found.peak("f16", instruction="wgmma sparse").value == 9e15  # type: ignore[union-attr]


def test_energy_terms_and_power() -> None:
    found = profile_of(
        run_of(
            measured("energy_alu", "energy", "J/op", 2e-12, {"OP": "FFMA", "OPERANDS": "zero"}),
            measured("energy_data", "energy", "J/bit", 9e-12, {"LEVEL": "READ"}),
            measured("energy_wgmma", "energy", "J/FMA", 5e-13, {"TYPE": "E4M3", "OPERANDS": "random"}),
            measured("energy_idle", "power", "W", 75.0, {"STATE": "IDLE"}),
        )
    )
    assert found.energy("FFMA", "zero").value == 2e-12  # type: ignore[union-attr]
    assert found.energy("DRAM read").value == 9e-12  # type: ignore[union-attr]
    assert found.energy("wgmma e4m3").value == 5e-13  # type: ignore[union-attr]
    assert found.power("idle").value == 75.0  # type: ignore[union-attr]
    assert found.energy("L1") is None


def test_every_part_of_a_launch_has_its_cost_by_the_way_it_is_made() -> None:
    ways = ("stream", "cooperative", "cluster", "graph")
    marks = [
        measured("launch_marks", quantity, "s", value * 1e-6, {"KIND": way, "BLOCKS": 2})
        for way in ways
        for quantity, value in (("api", 2.0), ("start", 3.0), ("end", 4.0), ("done", 5.0))
    ]
    period = measured("launch_cost", "period", "s", 1e-6, {"KIND": "graph", "BLOCKS": 264})
    found = profile_of(run_of(*marks, period))
    for way in ways:
        said = [
            found.launch(f"launch call to {what}, kind {way}")
            for what in ("its return", "kernel start", "a drained stream")
        ]
        assert [value.value for value in said if value] == pytest.approx([2e-6, 3e-6, 5e-6])
    assert found.launch("kernel after kernel, period, kind graph, blocks 264").value == 1e-6  # type: ignore[union-attr]


def test_a_curve_is_read_at_the_nearest_size_by_ratio() -> None:
    points = tuple((size, Value(size, size, size, "cycle", "measured", "s")) for size in (1024.0, 4096.0, 65536.0))
    curve = Curve("c", points)
    assert [curve.at(size).value for size in (1.0, 2100.0, 30000.0, 1e9)] == [1024.0, 4096.0, 65536.0, 65536.0]


def test_rules_name_probes_that_exist() -> None:
    from fnmatch import fnmatchcase

    names = [probe.name for probe in discover()]
    missing = [rule.probe for rule in RULES if not any(fnmatchcase(name, rule.probe) for name in names)]
    assert missing == []


# --- stored -----------------------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.sampled_from(["f16", "s8"]), st.floats(1e9, 1e16), st.sampled_from(["measured", "published"])),
        max_size=5,
    ),
    st.text(max_size=20),
)
def test_a_profile_survives_its_file(peaks: list[tuple[str, float, str]], note: str) -> None:
    made = DeviceProfile(
        "x", "X", "sm_90", note, {"sm_count": 132.0},
        peaks=tuple(Peak(k, "wgmma", "random", Value(v, v / 2, v * 2, "FLOP/s", o, "s")) for k, v, o in peaks),  # type: ignore[arg-type]
        curves=(Curve("c", ((1.0, Value(1.0, 1.0, 1.0, "cycle", "measured", "s")),)),),
    )  # fmt: skip
    assert from_document(json.loads(json.dumps(to_document(made)))) == made


def test_files_are_written_and_read(tmp_path: Path) -> None:
    found = profile_of(recorded())
    write(found, tmp_path / "p.json")
    assert profile_files.load(str(tmp_path / "p.json")) == found
    (tmp_path / "p.json.gz").write_bytes(gzip.compress((tmp_path / "p.json").read_bytes()))
    assert profile_files.load(str(tmp_path / "p.json.gz")) == found
    write_run(recorded(), tmp_path / "run.json")
    assert profile_files.load(str(tmp_path / "run.json")) == found


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 99}, "reads up to"),
        ({"schema": None}, "no device profile"),
        ({"peaks": [{"kind": "f16"}]}, "damaged"),
        ({"numbers": {"sm_count": "many"}}, "damaged"),
        ({"curves": [{"what": "c", "points": []}]}, "damaged"),
        ({"note": 3}, "damaged"),
    ],
)
def test_a_damaged_profile_is_an_error_with_a_remedy(change: dict[str, object], words: str) -> None:
    document = {**to_document(profile_of(run_of())), **change}
    with pytest.raises(GpuprobeError, match=words) as caught:
        from_document(document)
    assert caught.value.hint


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\x1f\x8b\x08 broken"])
def test_a_file_that_is_no_profile_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "p.json").write_bytes(data)
    with pytest.raises(GpuprobeError):
        profile_files.load(str(tmp_path / "p.json"))
    with pytest.raises(GpuprobeError, match="cannot read"):
        profile_files.load(str(tmp_path / "absent.json"))


def test_values_outside_their_interval_or_of_no_origin_are_damage() -> None:
    for change in ({"low": 3e30}, {"origin": "guessed"}, {"value": float("nan")}, {"value": -1.0}, {"value": 10**400}):
        document = to_document(profile_of(run_of()))
        document["peaks"][0]["rate"].update(change)
        with pytest.raises(GpuprobeError, match="damaged"):
            from_document(document)


# --- published --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_profiles_say_that_they_are_and_cite_a_source_for_every_number(name: str) -> None:
    found = profile_files.load(name)
    assert found.note == "published, not measured by this project"
    parts = [part for section in SECTIONS for part in getattr(found, section)]
    assert len(parts) >= 15
    assert {value_of(part).origin for part in parts} == {"published", "datasheet"}
    assert all(len(value_of(part).source) > 10 for part in parts)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_are_physically_possible(name: str) -> None:
    found = profile_files.load(name)
    stated = {peak.kind: peak.rate.value for peak in found.peaks if peak.rate.origin == "datasheet"}
    for peak in found.peaks:
        if peak.rate.origin == "published" and peak.kind in stated and "sparse" not in peak.instruction:
            assert peak.rate.value <= 1.1 * stated[peak.kind], peak
    dram = {
        one.mode: one.rate.value for one in found.bandwidths if one.level == "DRAM" and one.rate.origin == "published"
    }
    assert all(rate <= found.numbers["dram_bandwidth_bytes_per_s"] for rate in dram.values())
    levels = [found.latency(what) for what in ("L1", "L2", "DRAM")]
    assert [v.value for v in levels if v] == sorted(v.value for v in levels if v)


def test_all_names_load_and_an_unknown_one_is_answered_with_them() -> None:
    assert {"h100-sxm", *PUBLISHED} <= set(profile_files.names())
    with pytest.raises(GpuprobeError, match="no profile of 'h1000'") as caught:
        profile_files.load("h1000")
    assert "h100-sxm" in caught.value.hint
    assert "data sheet only" in profile_files.load("b200").note


def test_a_published_file_without_a_source_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "l40s.toml"
    path.write_text('[sources]\n[[peaks]]\nkind = "f16"\ninstruction = "mma.sync"\nvalue = 1e12\nsource = "x"\n')
    with pytest.raises(GpuprobeError, match="no profile of published values"):
        profile_files.published(path)


def test_the_most_trusted_origin_wins_whatever_its_size() -> None:
    base = profile_of(run_of())
    mine = Bandwidth("DRAM", "read", Value(2e12, 2e12, 2e12, "B/s", "measured", "s"))
    assert base.bandwidth("DRAM").origin == "datasheet"  # type: ignore[union-attr]
    assert replace(base, bandwidths=(*base.bandwidths, mine)).bandwidth("DRAM").value == 2e12  # type: ignore[union-attr]
    assert replace(base, latencies=(Latency("L1", mine.rate),)).latency("L2") is None


# --- the command ------------------------------------------------------------------------------------------------


def test_the_command_shows_and_keeps_a_profile(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["h100-sxm", "-o", str(tmp_path / "p.json")])
    assert result.exit_code == 0 and "f16 wgmma random" in result.stdout
    again = CliRunner().invoke(command, [str(tmp_path / "p.json"), "--json"])
    assert from_document(json.loads(again.stdout)) == profile_files.load("h100-sxm")


def test_the_command_marks_published_values() -> None:
    result = CliRunner().invoke(command, ["a100-sxm-80gb"])
    assert "published, not measured by this project" in result.stdout.splitlines()[0]
