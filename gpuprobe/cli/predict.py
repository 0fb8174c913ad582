"""``gpuprobe predict``: time, power and energy of GEMMs on a GPU, one, a CSV, or a line at a time; tiled kernels."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from gpuprobe.cli.output import check_output, emit_json, json_option, note, table, write_output
from gpuprobe.cli.predict_llm import llm
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.ops.tiling import FORMS, INPUT_BYTES
from gpuprobe.report.format import quantity

_SOURCES = ("gpuprobe", "aiconfigurator", "vidur")


@click.group()
def command() -> None:
    """Predict time, power and energy on a GPU that need not be here."""


@command.command("gemm")
@click.option("--gpu", required=True, metavar="NAME", help="A device of the catalogue (h100-sxm), or PATH.toml.")
@click.option("-m", type=int, help="Rows of A and C.")
@click.option("-n", type=int, help="Columns of B and C.")
@click.option("-k", type=int, help="Columns of A, rows of B.")
@click.option("--dtype", type=click.Choice(list(DTYPES)), default="bf16", show_default=True, help="Type of A and B.")
@click.option(
    "--layout",
    type=click.Choice(list(LAYOUTS)),
    default="tn",
    show_default=True,
    help="B as n×k (tn, a linear layer) or as k×n (nn).",
)
@click.option(
    "--csv", "csv_path", type=click.Path(path_type=Path), metavar="IN", help="Predict a CSV m,n,k[,dtype,layout]."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="With --csv a CSV, else .json, .csv, .parquet, .html or .md.",
)
@click.option("--jsonl", is_flag=True, help="One JSON query a line on stdin, one answer a line on stdout.")
@click.option("--source", type=click.Choice(_SOURCES), help="Use the model fitted to one source's data.")
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="ROWS",
    help="CSV m,n,k,dtype,layout,time_us measured on that GPU: corrects its predictions.",
)
@json_option
def gemm(**options: Any) -> int:
    """Predict GEMMs C[m,n] = A[m,k]·B[k,n]: hot, cold and sustained times, power and energy, with 90 % intervals.

    in_domain is false where no data of this GPU, type and range of sizes stand behind the numbers.
    """
    asked = _asked(options)
    from gpuprobe.predict import Predictor

    predictor = Predictor.load(options["gpu"], options["source"])
    if options["calibrate"] is not None:
        from gpuprobe.predict.calibrate import calibrated

        predictor = calibrated(predictor, options["calibrate"])
    return {"csv": _csv, "jsonl": _jsonl, "one": _one}[asked](predictor, options)


@command.command("kernel")
@click.option("--gpu", required=True, metavar="NAME", help="A device of the catalogue (h100-sxm), or PATH.toml.")
@click.option(
    "--kernel", type=click.Choice(FORMS), default=FORMS[0], show_default=True, help="Form of the tiled kernel."
)
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path),
    metavar="IN",
    help="CSV m,n,k[,dtype],BM,BN,BK,GM,warps,stages.",
)
@click.option(
    "--dtype", type=click.Choice(list(INPUT_BYTES)), default="bf16", show_default=True, help="Type of A and B."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="OUT", help="CSV to write them to.")
@click.option("--jsonl", is_flag=True, help="One JSON question a line on stdin, one answer a line on stdout.")
@json_option
def kernel(**options: Any) -> int:
    """Predict configurations of a tiled Triton GEMM: time with its 90 % interval, and whether it can be launched."""
    from gpuprobe.tune.batch import answers, predict
    from gpuprobe.tune.predictor import KernelPredictor

    if options["jsonl"] and options["csv_path"] is None and options["output"] is None:
        predictor = KernelPredictor.load(options["gpu"], options["kernel"])
        return _say_each(answers(predictor, _lines(), options["dtype"]))
    if options["jsonl"] or options["csv_path"] is None or options["output"] is None:
        raise GpuprobeError("nothing to predict, or too much", "give --csv IN -o OUT, or --jsonl")
    output: Path = options["output"]
    if output.suffix != ".csv":
        raise GpuprobeError(f"cannot write {output}: not a .csv", "use -o OUT.csv")
    check_output(output)
    predictor = KernelPredictor.load(options["gpu"], options["kernel"])
    rows = predict(predictor, options["csv_path"], output, options["dtype"])
    facts = {
        "rows": rows,
        "output": str(output),
        "model_id": predictor.model.model_id,
        "in_domain": predictor.in_domain,
    }
    if options["as_json"]:
        emit_json(facts)
    else:
        known = "" if predictor.in_domain else "; no configuration was measured on this GPU"
        note(f"{rows} configurations predicted in {output} by {predictor.model.model_id}{known}")
    return Exit.DONE


def _asked(options: dict[str, Any]) -> str:
    """Which of the three ways to ask was used; GpuprobeError for none or a mixture."""
    sizes = [options[name] is not None for name in "mnk"]
    ways = {"csv": options["csv_path"] is not None, "jsonl": options["jsonl"], "one": any(sizes)}
    used = [name for name, is_used in ways.items() if is_used]
    if len(used) != 1 or (used == ["one"] and not all(sizes)):
        raise GpuprobeError("nothing to predict, or too much", "give -m -n -k, or --csv IN -o OUT, or --jsonl")
    if used == ["csv"] and options["output"] is None:
        raise GpuprobeError("--csv without a file to write to", "add -o OUT.csv")
    if used == ["jsonl"] and options["output"] is not None:
        raise GpuprobeError("-o does not go with --jsonl", "redirect stdout: … --jsonl > x.jsonl")
    if used == ["one"] and options["output"] is not None:
        check_output(options["output"])
    return used[0]


def _one(predictor: Any, options: dict[str, Any]) -> int:
    prediction = predictor.gemm(options["m"], options["n"], options["k"], options["dtype"], options["layout"])
    rows = [
        [name, *(quantity(value, unit) for value in interval)]
        for name, unit, interval in (
            ("hot", "s", prediction.hot),
            ("cold", "s", prediction.cold),
            ("sustained", "s", prediction.sustained),
            ("power", "W", prediction.power_w),
            ("energy", "J", prediction.energy_j),
        )
    ]
    columns = ["quantity", "predicted", "low", "high"]
    if options["output"] is not None:
        write_output(options["output"], prediction.document(), columns, rows)
    if options["as_json"]:
        emit_json(prediction.document())
        return Exit.DONE
    inside = "inside" if prediction.in_domain else "outside"
    title = (
        f"GEMM {prediction.m}×{prediction.n}×{prediction.k} {prediction.dtype} {prediction.layout} "
        f"on {prediction.gpu}: bound by {prediction.bound}, {inside} the model's data"
    )
    table(columns, rows, title, right=("predicted", "low", "high"))
    print(f"protocol: {prediction.protocol}\nmodel: {prediction.model_id}; the interval holds 90 %")
    return Exit.DONE


def _csv(predictor: Any, options: dict[str, Any]) -> int:
    from gpuprobe.predict.batch import read_queries, write_predictions

    output: Path = options["output"]
    if output.suffix != ".csv":
        raise GpuprobeError(f"cannot write {output}: not a .csv", "use -o OUT.csv")
    check_output(output)
    queries = read_queries(options["csv_path"], options["dtype"], options["layout"])
    write_predictions(predictor, queries, output)
    if options["as_json"]:
        emit_json({"rows": len(queries.cells), "output": str(output)})
    else:
        note(f"{len(queries.cells)} GEMMs predicted in {output}")
    return Exit.DONE


def _jsonl(predictor: Any, options: dict[str, Any]) -> int:
    """Answer each line as it comes; what asks nothing sensible is answered with its error, and the exit code is 1."""
    from gpuprobe.predict.batch import answers

    return _say_each(answers(predictor, _lines(), options["dtype"], options["layout"]))


def _lines() -> Iterable[str]:
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    return sys.stdin


def _say_each(answers: Iterable[dict[str, Any]]) -> int:
    """Print each answer as it comes; 1 where one of them is an error."""
    import json

    code = Exit.DONE
    for answer in answers:
        if "error" in answer:
            code = Exit.CHECK_FAILED
        print(json.dumps(answer, allow_nan=False), flush=True)
    return code


command.add_command(llm)
