"""``gpuprobe train``: rebuild the shipped models from their data, to the bit the same."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click

from gpuprobe.cli.output import Progress, emit_json, json_option, note
from gpuprobe.errors import GpuprobeError


@click.command("train")
@click.argument("devices", nargs=-1)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="FOLDER",
    help="Folder of the published tables (docs/predict.md lists them); without it only own data sets are fitted.",
)
@click.option(
    "--source", type=click.Choice(("gpuprobe", "aiconfigurator", "vidur")), help="Fit only the models of one source."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write DEVICE/gemm-SOURCE.npz, tiles-gpuprobe.npz, card.json and transfer.npz there  [default: models/].",
)
@json_option
def command(
    devices: tuple[str, ...], reference: Path | None, source: str | None, output: Path | None, as_json: bool
) -> None:
    """Fit the models of DEVICES (default: all) to the data sets in models/data and to published tables.

    Models of GEMM times, and of the configurations of tiled kernels. Every error in a card is of GEMMs that the model
    which predicted them had not seen.
    """
    from gpuprobe import resources
    from gpuprobe.predict import train, unknown
    from gpuprobe.tune import train as tiles

    folder = output or resources.folder("models")
    jobs = [job for job in train.jobs(devices, reference) if source in (None, job.source)]
    kernels = [] if source not in (None, train.OWN) else list(tiles.jobs(devices))
    if not jobs and not kernels:
        raise GpuprobeError(
            "there is no data to train on: wheels leave the measured GEMMs out",
            "name a device with data in a checkout of the repository, or give --reference FOLDER",
        )
    done = []
    with Progress() as line:
        fits = [partial(train.train, job) for job in jobs] + [partial(tiles.train, job) for job in kernels]
        if reference is not None and not devices and source in (None, "aiconfigurator"):
            fits.append(partial(unknown.train, reference))  # of all devices' tables
        for fit in fits:
            begin_s = time.perf_counter()
            model_id, path = fit(folder, line.update)
            done.append({"model_id": model_id, "path": str(path), "seconds": round(time.perf_counter() - begin_s, 1)})
    if as_json:
        emit_json(done)
    else:
        for model in done:
            note(f"{model['model_id']} in {model['path']} ({model['seconds']} s)")
