"""``gpuprobe roofline``: the hierarchical roofline of a GPU as table, picture or document, with GEMMs placed on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import emit_json, json_option, note, table, write_output
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.report.format import quantity

if TYPE_CHECKING:
    from gpuprobe.ops.gemm import Gemm
    from gpuprobe.profile import DeviceProfile
    from gpuprobe.roofline import Placed, Roofline

PICTURES = (".svg", ".html")
SUFFIXES = (".svg", ".html", ".json", ".csv", ".md", ".parquet")


@click.command()
@click.option("--gpu", metavar="NAME|FILE", default="h100-sxm", show_default=True, help="A GPU, a run or a profile.")
@click.option("--gemm", "gemms", metavar="M,N,K[,DTYPE]", multiple=True, help="Place a GEMM; may be repeated.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=lambda _context, _option, path: None if path is None else _checked(path),
    help="Also write it to FILE: a picture (.svg, .html), the document (.json) or its table (.csv, .md, .parquet).",
)
@json_option
def command(*, gpu: str, gemms: tuple[str, ...], output: Path | None, as_json: bool) -> Exit:
    """Draw what arithmetic of each type can reach over L1, L2 and DRAM.

    Peaks and bandwidths are those of the GPU's profile: measured where this project has a recording of it, else
    published, else of the data sheet. GEMMs are placed by their predicted time with operands in DRAM.
    """
    from gpuprobe.profile_files import load
    from gpuprobe.roofline import roofline_of, to_document

    asked = [_gemm(text) for text in gemms]
    profile = load(gpu)
    found = roofline_of(profile)
    if not found.ceilings or not found.slopes:
        raise GpuprobeError(
            f"{gpu} has no peak or no bandwidth to draw", "measure it with: gpuprobe microbench -o run.json.gz"
        )
    placed = _placed(found, profile, asked)
    if output is not None:
        _write(output, found, placed, to_document(found, placed))
    if as_json:
        emit_json(to_document(found, placed))
    else:
        _show(found, placed)
    return Exit.DONE


def _checked(path: Path) -> Path:
    """The path itself where it can hold a picture or a document."""
    if path.suffix.lower() not in SUFFIXES:
        raise GpuprobeError(f"cannot write {path}: unknown suffix", f"use one of: {' '.join(SUFFIXES)}")
    if path.is_dir():
        raise GpuprobeError(f"cannot write {path}: it is a folder", f"name a file: -o {path / 'roofline.svg'}")
    return path


def _gemm(text: str) -> Gemm:
    from gpuprobe.ops.gemm import Gemm

    sizes, words = text.split(",")[:3], text.split(",")[3:]
    try:
        m, n, k = map(int, sizes)
        (dtype,) = words or ["bf16"]
    except ValueError:
        raise GpuprobeError(f"'{text}' is no GEMM", "write m,n,k or m,n,k,dtype: --gemm 4096,4096,4096,bf16") from None
    return Gemm(m, n, k, dtype.strip())


def _placed(found: Roofline, profile: DeviceProfile, gemms: list[Gemm]) -> list[Placed]:
    """GEMMs by their predicted cold time; GpuprobeError where nothing is known of the device."""
    if not gemms:
        return []
    from gpuprobe.predict import Predictor
    from gpuprobe.roofline import place

    predictor = Predictor.load(profile.name)
    return [place(found, gemm, _cold(predictor, gemm)) for gemm in gemms]


def _cold(predictor: Any, gemm: Gemm) -> tuple[float, float, float]:
    cold = predictor.gemm(gemm.m, gemm.n, gemm.k, gemm.dtype, gemm.layout).cold
    return cold.value, cold.low, cold.high


def _write(output: Path, found: Roofline, placed: list[Placed], document: dict[str, Any]) -> None:
    from gpuprobe.files import write_atomically
    from gpuprobe.report.figures.hierarchy import hierarchy, standalone

    if output.suffix.lower() not in PICTURES:
        write_output(output, document, *_rows(found))
        return
    svg = standalone(hierarchy(found, placed))
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Roofline of {found.name}</title>{svg}</html>\n'
    write_atomically(output, (svg if output.suffix.lower() == ".svg" else page).encode("utf-8", "replace"))
    note(f"roofline drawn in {output}")


def _rows(found: Roofline) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns and rows of the table: a type each, its ridge over every level."""
    from gpuprobe.roofline import ridges

    at = {(ceiling.kind, slope.level): f"{intensity:.4g}" for ceiling, slope, intensity in ridges(found)}
    levels = [slope.level for slope in found.slopes]
    heads = [f"ridge over {slope.level} ({quantity(slope.rate.value, 'B/s')}), FLOP/B" for slope in found.slopes]
    rows = [
        (one.kind, quantity(one.rate.value, one.rate.unit), one.rate.origin, *(at[one.kind, level] for level in levels))
        for one in found.ceilings
    ]
    return ("type", "peak", "origin", *heads), rows


def _show(found: Roofline, placed: list[Placed]) -> None:
    columns, rows = _rows(found)
    table(columns, rows, f"{found.product}: {found.note}", right=set(columns) - {"type", "origin"})
    if not placed:
        return
    print()
    columns = ("GEMM", "time", "reaches", "of attainable", "bound", "FLOP/B of DRAM", "FLOP/B of L2")
    shown = [
        (
            f"{one.gemm.m}×{one.gemm.n}×{one.gemm.k} {one.gemm.dtype}",
            quantity(one.time_s, "s"),
            quantity(one.flop_per_s, "FLOP/s"),
            f"{one.share:.0%}",
            one.bound,
            f"{one.dram_intensity:.4g}",
            f"{one.l2_intensity:.4g}",
        )
        for one in placed
    ]
    table(columns, shown, "Predicted with operands in DRAM", right=set(columns[1:4]) | set(columns[5:]))
