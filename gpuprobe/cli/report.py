"""``gpuprobe report``: runs, traces, batch sweeps and models as one self-contained HTML page."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from gpuprobe.cli.output import emit_json, json_option, note
from gpuprobe.errors import GpuprobeError

SCHEMA = 1


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN|TRACE|SWEEP|MODEL...")
@click.option(
    "-o",
    "--output",
    default=Path("report.html"),
    show_default=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=lambda _context, _option, path: checked_page(path),
    help="Where to write the page.",
)
@json_option
def command(*, files: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Write one HTML page about recorded runs, traces, batch sweeps and models: figures, tables, provenance.

    The first run is shown in full and later runs compared with it, each trace in sections of its own. A sweep is what
    workload writes (sweep.json), a model a card.json, or what evaluate --json prints: predicted against measured.
    """
    from gpuprobe.files import write_atomically
    from gpuprobe.report.page import LIMIT_BYTES, render
    from gpuprobe.report.sources import read

    text = shlex.join(["gpuprobe", "report", *map(str, files), "-o", str(output)])
    page = render([read(path) for path in files], text).encode("utf-8", "replace")
    write_atomically(output, page)
    if as_json:
        emit_json({"schema": SCHEMA, "file": str(output), "bytes": len(page), "inputs": [str(path) for path in files]})
    else:
        print(f"{output}: {len(page) / 1000:.0f} kB")
    if len(page) > LIMIT_BYTES:
        note(f"warning: the page is larger than {LIMIT_BYTES / 1e6:g} MB: pass fewer files")


def checked_page(path: Path) -> Path:
    """The path itself where it can hold a page."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise GpuprobeError(f"cannot write {path}: unknown suffix", "use .html")
    if path.is_dir():
        raise GpuprobeError(f"cannot write {path}: it is a folder", f"name a file: -o {path / 'report.html'}")
    return path
