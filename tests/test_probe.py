"""A probe's grid, its source with headers, and finding probes: what is declared is what runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from recording import chain_probe, flat, h100, write_probe

from gpuprobe import arch, resources
from gpuprobe import probe as catalogue
from gpuprobe.errors import GpuprobeError
from gpuprobe.probe import Launch, Probe, discover, load, select, sm_count
from gpuprobe.record import Number

DECLARED = '''"""{doc}"""
from gpuprobe.estimate import latency
from gpuprobe.probe import Probe
PROBE = Probe(name="{name}", unit="cycle", estimate=latency())
'''


# --- the grid ---------------------------------------------------------------------------------------------------


def test_the_grid_is_every_combination_of_defines_and_axes() -> None:
    probe = chain_probe(defines={"OP": ["A", "B"], "CHAIN": [1, 2]}, axes={"WARPS": [4, 8, 16]})
    points = probe.points("full", h100())
    assert len(points) == len(set(points)) == 12
    assert [dict(point.params) for point in points][:2] == [
        {"OP": "A", "CHAIN": 1, "WARPS": 4},
        {"OP": "A", "CHAIN": 1, "WARPS": 8},
    ]
    assert [dict(build) for build in probe.builds("full", h100())] == [
        {"OP": op, "CHAIN": chain} for op in "AB" for chain in (1, 2)
    ]
    assert dict(probe.defines_of(points[-1])) == {"OP": "B", "CHAIN": 2}


def test_quick_replaces_axes_of_either_kind_and_full_does_not_know_it() -> None:
    probe = chain_probe(
        defines={"OP": ["A", "B"], "CHAIN": [1, 2]}, axes={"WARPS": [4, 8]}, quick={"OP": ["B"], "WARPS": [8]}
    )
    assert [dict(build) for build in probe.builds("quick", h100())] == [
        {"OP": "B", "CHAIN": 1},
        {"OP": "B", "CHAIN": 2},
    ]
    assert {(point["OP"], point["WARPS"]) for point in probe.points("quick", h100())} == {("B", 8)}
    assert len(probe.points("full", h100())) == 8


def test_keep_drops_combinations_of_points() -> None:
    probe = chain_probe(defines={"CHAIN": [1, 2]}, axes={"N": [1, 2]}, keep=lambda p: p["CHAIN"] <= p["N"])
    assert [(point["CHAIN"], point["N"]) for point in probe.points("full", h100())] == [(1, 1), (1, 2), (2, 2)]


def test_axes_and_launches_may_depend_on_the_device() -> None:
    small = h100().with_numbers({"sm_count": Number(4, "measured", ""), "memory_bytes": Number(100, "measured", "")})
    probe = chain_probe(
        defines={},
        axes={"BYTES": lambda device: [size for size in (10, 60, 90) if size <= device["memory_bytes"] / 2]},
        launch=Launch(grid=sm_count, block=lambda p, d: 2 * p["BYTES"], data_bytes=lambda p, d: p["BYTES"], iters=7),
    )
    (point,) = probe.points("full", small)
    assert (point["BYTES"], point.grid, point.block, point.data_bytes, point.iters) == (10, 4, 20, 10, 7)
    assert len(probe.points("full", h100())) == 3


def test_zero_operands_are_asked_for_by_their_axis() -> None:
    probe = chain_probe(axes={"OPERANDS": ["random", "zero"]})
    assert {(point["OPERANDS"], point.zero) for point in probe.points("full", h100())} == {
        ("random", False),
        ("zero", True),
    }


@pytest.mark.parametrize(("name", "runs"), [("sm_80", False), ("sm_89", False), ("sm_90", True)])
def test_a_probe_says_where_it_exists(name: str, runs: bool) -> None:
    assert chain_probe(archs="==sm_90").runs_on(arch.parse(name)) is runs
    assert chain_probe(archs=">=sm_80").runs_on(arch.parse(name))


# --- the source -------------------------------------------------------------------------------------------------


def test_headers_are_put_in_once_from_the_probes_folder_or_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    (tmp_path / "root.cuh").write_text("#pragma once\nROOT\n")
    folder = tmp_path / "group"
    path = write_probe(
        folder, "p", DECLARED.format(doc="P.", name="p"), '#include "near.cuh"\n#include "root.cuh"\nBODY\n'
    )
    (folder / "near.cuh").write_text('#pragma once\n#include "root.cuh"\nNEAR\n')
    assert load(path).source().split() == ["ROOT", "NEAR", "BODY"]


def test_a_missing_header_is_named(tmp_path: Path) -> None:
    path = write_probe(tmp_path, "p", DECLARED.format(doc="P.", name="p"), '#include "none.cuh"\n')
    with pytest.raises(GpuprobeError, match=r"p\.cu includes 'none\.cuh'"):
        load(path).source()


# --- finding probes ---------------------------------------------------------------------------------------------


def test_a_probe_is_loaded_with_its_path_and_docstring(tmp_path: Path) -> None:
    text = DECLARED.format(doc="Latency of nothing.\n\nMore.\n", name="nothing")
    probe = load(write_probe(tmp_path / "compute", "nothing", text, "//"))
    assert (probe.name, probe.group, probe.summary) == ("nothing", "compute", "Latency of nothing.")
    assert probe.source_path == tmp_path / "compute" / "nothing.cu"
    assert "More." in probe.doc


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        ('"""Doc."""', "//", "declares no PROBE"),
        ('"""Doc."""\nPROBE = 3', "//", "declares no PROBE"),
        (DECLARED.format(doc="Doc.", name="other"), "//", "other is not bad"),
        (DECLARED.format(doc="", name="bad"), "//", "has a docstring"),
        (DECLARED.format(doc="Doc.", name="bad"), "", "a source"),
    ],
)
def test_a_file_that_is_no_probe_is_refused_and_named(tmp_path: Path, text: str, source: str, message: str) -> None:
    path = write_probe(tmp_path, "bad", text, source)
    with pytest.raises(GpuprobeError, match=message) as caught:
        load(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_every_probe_of_the_folder_is_found_sorted_and_named_once() -> None:
    found = discover()
    files = [path for path in resources.folder("microbench").rglob("*.py") if not path.name.startswith("_")]
    assert sorted(probe.path for probe in found) == sorted(files)
    assert [(p.group, p.name) for p in found] == sorted((p.group, p.name) for p in found)
    assert len({probe.name for probe in found}) == len(found)


def test_a_folder_is_searched_below_and_underscored_files_are_not_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path)
    for name in ("b", "a", "_shared"):
        write_probe(tmp_path / "memory", name, DECLARED.format(doc="P.", name=name), "//")
    write_probe(tmp_path / "compute", "z", DECLARED.format(doc="P.", name="z"), "//")
    catalogue.discover.cache_clear()
    try:
        assert [probe.name for probe in discover()] == ["z", "a", "b"]
    finally:
        catalogue.discover.cache_clear()


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["ffma_latency"], ["ffma_latency"]),
        (["?fma_latency"], ["dfma_latency", "ffma_latency"]),
        (["compute/*fma*"], ["dfma_latency", "ffma_latency"]),
        (["system/null_*", "dfma_latency", "dfma*"], ["dfma_latency", "null_graph", "null_kernel"]),
        (["[df]fma*"], ["dfma_latency", "ffma_latency"]),
    ],
)
def test_probes_are_chosen_by_globs(patterns: list[str], names: list[str]) -> None:
    assert [probe.name for probe in select(patterns)] == names


def test_no_pattern_means_all() -> None:
    assert select([]) == discover() == select(["*"])


@pytest.mark.parametrize("patterns", [["nonsense"], ["ffma_latency", "nonsense"], ["FFMA_LATENCY"], ["tensor/ffma*"]])
def test_a_pattern_that_fits_nothing_is_an_error_that_says_how_to_list(patterns: list[str]) -> None:
    with pytest.raises(GpuprobeError, match="no probe matches") as caught:
        select(patterns)
    assert "--list" in caught.value.hint


def test_a_near_miss_names_what_is_close() -> None:
    with pytest.raises(GpuprobeError, match="close: ffma_latency"):
        select(["ffma_latencies"])


def test_published_values_name_devices_axes_and_quantities_that_exist() -> None:
    from gpuprobe import device

    known = set(device.names()) | {"h800-pcie"}
    unknown = [(p.name, value.device) for p in discover() for value in p.published if value.device not in known]
    stray = [
        (probe.name, axis)
        for probe in discover()
        for axis in flat([list(value.params) for value in probe.published])
        if axis not in {*probe.defines, *probe.patches, *probe.axes, *probe.settings}
    ]
    nameless = [(probe.name, value.value) for probe in discover() for value in probe.published if not value.source]
    assert (unknown, stray, nameless) == ([], [], [])


def test_quick_is_part_of_full_so_that_a_full_recording_can_be_replayed_quickly() -> None:
    missing = [
        (probe.name, dict(point.params))
        for probe in discover()
        for point in set(probe.points("quick", h100())) - set(probe.points("full", h100()))
    ]
    assert missing == []


def test_what_best_over_and_quick_name_are_axes() -> None:
    wrong = [
        (probe.name, axis)
        for probe in discover()
        for axis in (*probe.best_over, *probe.quick)
        if axis not in {*probe.defines, *probe.patches, *probe.axes, *probe.settings}
    ]
    assert wrong == []


def test_a_probe_has_no_settings_that_change() -> None:
    with pytest.raises(AttributeError):
        Probe("p", "s", lambda round_: []).name = "q"  # type: ignore[misc]
