"""``gpuprobe predict llm``: time, power, energy and memory of language models, advice for whoever plans GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gpuprobe.cli.output import check_output, emit_json, json_option, note, write_output
from gpuprobe.errors import Exit, GpuprobeError

if TYPE_CHECKING:
    from gpuprobe.llm import Hardware, LlmPrediction, Plan

_MOST = 4096
"""Predictions in one call."""


@click.command("llm")
@click.option("--model", metavar="NAME", help="A name of --list-models, or the path of a config.json.")
@click.option("--gpu", "gpus", default="h100-sxm", show_default=True, metavar="A,B", help="Devices, or PATH.toml.")
@click.option("--batch", default="1", show_default=True, metavar="B,B", help="Sequences at once.")
@click.option("--prompt", default=512, show_default=True, help="Tokens of each prompt.")
@click.option("--output", "generated", default=128, show_default=True, help="Tokens generated for each.")
@click.option("--dtype", default="bf16", show_default=True, metavar="T", help="Weights: bf16, fp16, fp8.")
@click.option("--kv-dtype", default="", metavar="T", help="Cache: bf16, fp16, fp8, int8 (default: two bytes).")
@click.option("--tp", default="1", show_default=True, metavar="N,N", help="GPUs that share every layer.")
@click.option(
    "--mode", default="graphs", show_default=True, metavar="M", help="Launches: graphs, or eager by the host."
)
@click.option(
    "--kernels",
    default="fused",
    show_default=True,
    metavar="K",
    help="fused as engines run them, or separate as PyTorch.",
)
@click.option("--sweep", type=click.Choice(["batch", "context"]), help="All batches that fit, or contexts.")
@click.option("--advise", is_flag=True, help="The knee of the batch, long contexts, what-if cards.")
@click.option("--card", "cards", multiple=True, metavar="NAME", help="Only this card (with --advise; repeatable).")
@click.option("--slo-ms", type=float, help="Longest time between tokens that --advise may choose.")
@click.option("--explain", is_flag=True, help="The formulas with their inputs, and where each number comes from.")
@click.option("--set", "given", multiple=True, metavar="N=X", help="A number of --explain as you know it; repeatable.")
@click.option("--list-models", is_flag=True, help="List the models known by name.")
@click.option(
    "-o",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    callback=lambda _context, _option, path: None if path is None else check_output(path),
    help="Also write the result to FILE: .json, .json.gz, .csv, .parquet, .html or .md.",
)
@json_option
def llm(list_models: bool, path: Path | None, as_json: bool, **options: Any) -> int:
    """Predict prefill and decode of a language model: time with 90 % interval, power, energy, memory, bound.

    Several GPUs, batches or --tp give a table to compare. in_domain is false where less than nine tenths of a step's
    time rest on data of that GPU.
    """
    from gpuprobe.cli import predict_llm_view as view

    if list_models:
        return view.show_models(as_json)
    if options["slo_ms"] is not None and not options["advise"]:
        raise GpuprobeError("--slo-ms chooses a batch", "add --advise")
    if options["cards"] and not options["advise"]:
        raise GpuprobeError("--card shows a card", "add --advise")
    plans = _plans(options)
    if options["advise"]:
        return _advise(plans, options, path, as_json)
    from gpuprobe.llm import answer

    found = [answer(plan, _hardware(gpu, plan, options)) for gpu, plan in plans]
    documents = [_document(one, options["explain"]) for one in found]
    several = options["sweep"] is not None or len(found) > 1
    document: Any = documents if several else documents[0]
    if path is not None:
        write_output(path, document, view.COLUMNS, view.rows(found))
        note(f"written to {path}")
    if as_json:
        emit_json(document)
        return Exit.DONE
    view.show_table(found) if several else view.show_one(found[0])
    if options["explain"]:
        view.show_formulas(found[0])
    return Exit.DONE


def _document(found: LlmPrediction, explain: bool) -> dict[str, Any]:
    from gpuprobe.llm.explain import formulas

    document = found.document()
    if explain:
        document["formulas"] = [one.document() for one in formulas(found)]
    return document


def _plans(options: dict[str, Any]) -> list[tuple[str, Plan]]:
    """Every GPU with every plan that was asked for; GpuprobeError for none, nonsense, or too many."""
    from gpuprobe.llm import Plan, load_model
    from gpuprobe.llm.batching import batches
    from gpuprobe.llm.context import contexts

    if options["model"] is None:
        raise GpuprobeError("no model given", "--model llama-3-8b; see: gpuprobe predict llm --list-models")
    model = load_model(options["model"])
    gpus = [name.strip() for name in options["gpus"].split(",") if name.strip()]
    first = Plan(
        model, 1, options["prompt"], options["generated"], options["dtype"], options["kv_dtype"],
        mode=options["mode"], kernels=options["kernels"],
    )  # fmt: skip
    parallel = [replace(first, tp=tp) for tp in _numbers("--tp", options["tp"])]
    found: list[tuple[str, Plan]] = []
    for gpu in gpus:
        for plan in parallel:
            if options["sweep"] == "batch":
                found += ((gpu, replace(plan, batch=one)) for one in batches(plan, _hardware(gpu, plan, options)))
                continue
            each = [replace(plan, batch=one) for one in _numbers("--batch", options["batch"])]
            if options["sweep"] == "context":
                each = [replace(one, prompt=prompt) for one in each for prompt in contexts(plan)]
            found += ((gpu, one) for one in each)
    if not found or len(found) > _MOST:
        raise GpuprobeError(f"{len(found)} predictions", f"ask for 1 to {_MOST} at once")
    return found


def _hardware(gpu: str, plan: Plan, options: dict[str, Any]) -> Hardware:
    """The GPU with the numbers that --set replaces."""
    from gpuprobe.llm import loaded

    try:
        given = {name: float(value) for name, _, value in (one.partition("=") for one in options["given"])}
    except ValueError as error:
        raise GpuprobeError(f"--set takes NAME=NUMBER: {error}", "for example: --set host_kernel_s=8e-6") from error
    return loaded(gpu, plan.dtype).given(given)


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise GpuprobeError(f"{option} takes whole numbers, not '{text}'", f"for example: {option} 1,2,4") from error


def _advise(plans: Sequence[tuple[str, Plan]], options: dict[str, Any], path: Path | None, as_json: bool) -> int:
    """Advice for one GPU and plan: the batch it names is what the cards are shown for."""
    from gpuprobe.cli import predict_llm_view as view
    from gpuprobe.llm.advice import advice

    if options["sweep"] or len({(gpu, plan.tp) for gpu, plan in plans}) > 1 or len(plans) > 1:
        raise GpuprobeError("advice is about one GPU, one --tp and one --batch", "ask once for each")
    gpu, plan = plans[0]
    slo_s = None if options["slo_ms"] is None else options["slo_ms"] / 1e3
    document = advice(plan, _hardware(gpu, plan, options), slo_s, options["cards"])
    if path is not None:
        points = document["batching"]["points"]
        write_output(path, document, list(points[0]), [[str(value) for value in row.values()] for row in points])
        note(f"written to {path}")
    if as_json:
        emit_json(document)
    else:
        view.show_advice(document)
    return Exit.DONE
