"""``gpuprobe tune gemm``: the best configuration of a tiled GEMM on this GPU, by predicting all and measuring few."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import Progress, emit_json, json_option, output_option, table, write_output
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES

if TYPE_CHECKING:
    from gpuprobe.gpu.tuning_bench import TuningBench
    from gpuprobe.tune.gemm_search import Candidate, Tuned
    from gpuprobe.tune.recorded import Recorded

SCHEMA = 1
_COLUMNS = ("BM", "BN", "BK", "GM", "warps", "stages", "predicted", "low", "high", "measured", "95 %", "")


@click.group()
def command() -> None:
    """Find the best configuration of a kernel: predict, measure a few, learn."""


@command.command("gemm")
@click.option("-m", type=click.IntRange(min=1), required=True, help="Rows of A and C.")
@click.option("-n", type=click.IntRange(min=1), required=True, help="Columns of B and C.")
@click.option("-k", type=click.IntRange(min=1), required=True, help="Columns of A, rows of B.")
@click.option(
    "--dtype", type=click.Choice(list(INPUT_BYTES)), default="bf16", show_default=True, help="Type of A and B."
)
@click.option(
    "--kernel", type=click.Choice(FORMS), default=FORMS[0], show_default=True, help="Form of the tiled kernel."
)
@click.option(
    "--configs",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Configurations to choose from, BM,BN,BK,GM,warps,stages  [default: the grid that tuners search].",
)
@click.option(
    "--budget", type=click.IntRange(min=1), default=12, show_default=True, help="Configurations to measure at most."
)
@click.option(
    "--enough",
    type=click.FloatRange(min=0, max=1),
    default=0.003,
    show_default=True,
    help="Stop where the next configuration promises less than this share of the best time.",
)
@click.option("--device", type=click.IntRange(min=0), default=0, show_default=True, help="CUDA's index of the GPU.")
@click.option("--gpu", metavar="NAME", help="Predict as for this device  [default: the GPU that is here].")
@click.option("--predict-only", is_flag=True, help="Rank without measuring; needs no GPU, but --gpu.")
@click.option(
    "--recorded",
    is_flag=False,
    flag_value="shipped",
    metavar="[FILE]",
    help="Read times from a journal of sweep kernel instead of measuring  [FILE left out: that shipped for --gpu].",
)
@click.option("--fresh", is_flag=True, help="Measure even where a result of this GPU, driver and problem is kept.")
@json_option
@output_option
def gemm(**options: Any) -> int:
    """Tune C[m,n] = A[m,k]·B[k,n] as a tiled Triton kernel: the best configuration, with what was measured.

    Predicts every configuration, measures the promising ones, learns from each what the predictions got wrong. The
    result is kept by device, driver, Triton and problem, and found again.
    """
    from gpuprobe.tune.gemm_search import space_of

    if options["recorded"] is not None:
        return _replay(options)
    space = space_of(options["dtype"], options["configs"])
    if options["predict_only"]:
        return _rank(options, space)
    return _tune(options, space)


def _question(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("m", "n", "k", "dtype", "kernel")}


def _candidates(options: dict[str, Any], gpu: str, space: Sequence[Any]) -> tuple[list[Candidate], dict[str, Any]]:
    """Every possible configuration, best predicted first, and what predicted them."""
    from gpuprobe.tune.gemm_search import candidates
    from gpuprobe.tune.predictor import KernelPredictor

    predictor = KernelPredictor.load(gpu, options["kernel"])
    facts = {"gpu": gpu, "model_id": predictor.model.model_id, "in_domain": predictor.in_domain}
    sizes = (options["m"], options["n"], options["k"], options["dtype"])
    return candidates(predictor, *sizes, space), facts


def _rank(options: dict[str, Any], space: Sequence[Any]) -> int:
    if options["gpu"] is None:
        raise GpuprobeError("--predict-only without a device", "add --gpu NAME, such as --gpu h100-sxm")
    found, facts = _candidates(options, options["gpu"], space)
    first = found[: options["budget"]]
    ranking = [one.document() for one in first]
    document = _question(options) | facts | {"schema": SCHEMA, "configurations": len(found), "ranking": ranking}
    _write(options["output"], document, ranking)
    if options["as_json"]:
        emit_json(document)
    else:
        title = f"{_title(options)} on {options['gpu']}: first {len(first)} of {len(found)} configurations, predicted"
        _print(first, title)
    return Exit.DONE


def _replay(options: dict[str, Any]) -> int:
    from gpuprobe.tune import recorded
    from gpuprobe.tune.gemm_search import space_of, tune

    if options["predict_only"] or options["fresh"]:
        raise GpuprobeError("--recorded measures nothing", "leave --predict-only and --fresh out")
    path = recorded.find(options["recorded"], options["gpu"])
    sizes = (options[name] for name in ("m", "n", "k", "dtype", "kernel"))
    known = recorded.read(path, *sizes)
    wanted = set(space_of(options["dtype"], options["configs"])) if options["configs"] else known.readings.keys()
    found, facts = _candidates(
        options, options["gpu"] or _name_of(known.product), [one for one in known.readings if one in wanted]
    )
    tuned = tune(found, known.readings.__getitem__, options["budget"], options["enough"], rounds=0)
    ran = [reading.time_s for reading in known.readings.values() if reading.time_s is not None]
    result = _result(options, facts, tuned, known) | {"recorded": str(path), "recorded_best_s": min(ran)}
    _emit(options, result | {"schema": SCHEMA, "cached": False, "kept": None})
    return Exit.DONE


def _tune(options: dict[str, Any], space: Sequence[Any]) -> int:
    from gpuprobe.gpu.tuning_bench import TuningBench
    from gpuprobe.journal import state_dir
    from gpuprobe.tune.found import Key, keep, recall

    bench = TuningBench(options["device"])
    question = _question(options) | {"space": _digest(space), "budget": options["budget"], "enough": options["enough"]}
    key = Key(bench.uuid, bench.driver, bench.triton, question)
    folder = state_dir() / "tune"
    result = None if options["fresh"] else recall(folder, key)
    known = result is not None
    if result is None:
        result = _measured(options, bench, space)
        keep(folder, key, result)
    _emit(options, result | {"schema": SCHEMA, "cached": known, "kept": str(folder / key.name)})
    return Exit.DONE


def _emit(options: dict[str, Any], document: dict[str, Any]) -> None:
    """A result of tuning as asked for."""
    _write(options["output"], document, document["measured"])
    if options["as_json"]:
        emit_json(document)
    else:
        _print_result(options, document)


def _measured(options: dict[str, Any], bench: TuningBench, space: Sequence[Any]) -> dict[str, Any]:
    """The result of a search on the GPU, as a JSON object."""
    from gpuprobe.gpu.triton_timer import Problem
    from gpuprobe.tune.gemm_search import Reading, tune

    found, facts = _candidates(options, options["gpu"] or _name_of(bench.product), space)
    problem = Problem(options["kernel"], options["m"], options["n"], options["k"], options["dtype"])
    with Progress() as line:

        def measure(tiling: Any) -> Reading:
            line.update(f"measuring {'×'.join(map(str, tiling[:3]))}")
            timed = bench.time(problem, tiling)
            if timed.error:
                return Reading(None, error=timed.error)
            return Reading(timed.time_s, timed.samples_s)

        tuned = tune(found, measure, options["budget"], options["enough"])
    return _result(options, facts, tuned, bench)


def _result(
    options: dict[str, Any], facts: dict[str, Any], tuned: Tuned, where: TuningBench | Recorded
) -> dict[str, Any]:
    """What a search found, as a JSON object."""
    measured = [one.document() for one in tuned.measured]
    return (
        _question(options)
        | facts
        | {"device": where.product, "driver": where.driver, "triton": where.triton, "best": tuned.best.document()}
        | {"as_good": tuned.as_good, "measured": measured, "configurations": tuned.space, "stopped": tuned.stopped}
    )


def _name_of(product: str) -> str:
    """The catalogue's name of a GPU."""
    from gpuprobe import device

    spec = device.match(product)
    if spec is None:
        raise GpuprobeError(f"the catalogue has no '{product}'", "name the nearest device with --gpu NAME")
    return spec.name


def _digest(space: Sequence[Any]) -> str:
    from gpuprobe.journal import digest

    return digest(repr(sorted(tuple(one) for one in space)))


def _title(options: dict[str, Any]) -> str:
    return f"{options['kernel']} {options['m']}×{options['n']}×{options['k']} {options['dtype']}"


def _write(output: Path | None, document: dict[str, Any], rows: Sequence[dict[str, Any]]) -> None:
    """Write the result where asked: the document as JSON, else a line for each configuration."""
    if output is not None:
        columns = list(rows[0]) if rows else []
        write_output(output, document, columns, [[str(row[name]) for name in columns] for row in rows])


def _print(found: Sequence[Candidate], title: str) -> None:
    from gpuprobe.report.format import quantity

    rows = [
        [*map(str, one.tiling), *(quantity(value, "s") for value in (one.predicted_s, one.low_s, one.high_s))]
        for one in found
    ]
    table(_COLUMNS[:9], rows, title, right=_COLUMNS[:9])


def _print_result(options: dict[str, Any], result: dict[str, Any]) -> None:
    from gpuprobe.report.format import quantity, span

    rows = []
    for one in result["measured"]:
        predicted = [quantity(one[name], "s") for name in ("predicted_s", "predicted_s_low", "predicted_s_high")]
        measured = quantity(one["measured_s"], "s") if one["measured_s"] is not None else "–"
        ends = (one["measured_s_low"], one["measured_s_high"])
        within = span(*ends, "s") if ends[0] is not None else "–"
        said = "best" if one == result["best"] else one["error"] or ""
        rows.append([*(str(one[name]) for name in _COLUMNS[:6]), *predicted, measured, within, said])
    replayed = "recorded" in result
    where, how = (" (recorded)", "looked up") if replayed else ("", "measured")
    title = f"{_title(options)} on {result['device']}{where}: {len(rows)} of {result['configurations']} configurations"
    title = f"{title} {how}"
    table(_COLUMNS, rows, title, right=_COLUMNS[:11])
    if result["as_good"]:
        print(f"timed in turn, {result['as_good']} of the others may be as good: their intervals meet that of the best")
    if replayed:
        loss = result["best"]["measured_s"] / result["recorded_best_s"] - 1
        kept = f"{loss:.1%} slower than the best of all that were recorded"
    else:
        kept = "kept from before" if result["cached"] else f"kept in {result['kept']}"
    outside = "" if result["in_domain"] else "; nothing was measured on this GPU to predict from"
    print(f"stopped: {result['stopped']}; predicted by {result['model_id']}{outside}; {kept}")
