"""One step of a point as a function without arguments: prefill, decode or LoRA; eager, compiled or as a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu.llm.model import accepted_by, load, static_cache, with_adapters
from gpuprobe.gpu.llm.plan import Point

Step = Callable[[], Any]
LEARNING_RATE = 1e-4


def step_of(model: Any, point: Point, device: str, steps: int) -> Step:
    """The step of a point; ``steps`` is how often it may run at most (a cache of fixed size must hold them)."""
    torch = load("torch")
    ids = torch.randint(0, model.config.vocab_size, (point.batch, point.context), device=device)
    if point.phase == "lora":
        return _lora(model, point, ids)
    if point.phase == "prefill":
        return _in_mode(_prefill(_compiled(model, point), ids), point, device)
    return _in_mode(_decode(model, point, ids, device, steps), point, device)


def _compiled(model: Any, point: Point) -> Any:
    """The model compiled for this point's shapes, where the mode says so."""
    if point.mode != "compile":
        return model
    torch = load("torch")
    torch.compiler.reset()  # after eight shapes of one model torch would give up and run the rest eagerly
    return torch.compile(model, dynamic=False)


def _in_mode(step: Step, point: Point, device: str) -> Step:
    return _captured(step, point, device) if point.mode == "graph" else step


def _prefill(model: Any, ids: Any) -> Step:
    """The whole prompt; keys and values of a new cache, the logits of the last token."""
    last = accepted_by(getattr(model, "_orig_mod", model), logits_to_keep=1)

    def step() -> Any:
        return model(ids, use_cache=True, **last).logits

    return step


def _decode(model: Any, point: Point, ids: Any, device: str, steps: int) -> Step:
    """One token for every sequence, chosen greedily from the last logits; the cache grows by one."""
    torch = load("torch")
    fixed = point.mode != "eager"
    cache = static_cache(model, point.batch, point.context + steps + 8, device) if fixed else None
    positions = torch.arange(point.context, device=device)
    last = accepted_by(model, cache_position=positions, logits_to_keep=1)
    filled = model(ids, past_key_values=cache, use_cache=True, **last)
    cache = filled.past_key_values
    token = filled.logits[:, -1:].argmax(-1)
    where = accepted_by(model, cache_position=positions[-1:] + 1)
    runner = _compiled(model, point)

    def step() -> Any:
        logits = runner(token, past_key_values=cache, use_cache=True, **where).logits
        token.copy_(logits[:, -1:].argmax(-1))
        for position in where.values():
            position.add_(1)
        return token

    return step


def _lora(model: Any, point: Point, ids: Any) -> Step:
    """Forward, backward and one AdamW update of the adapters, each in a range of its own."""
    torch = load("torch")
    adapted = with_adapters(model, point.model)
    optimiser = torch.optim.AdamW([p for p in adapted.parameters() if p.requires_grad], lr=LEARNING_RATE)
    runner = _compiled(adapted, point)
    span = range_of(ids.device.type)

    def step() -> Any:
        with torch.enable_grad():
            with span("forward"):
                loss = runner(input_ids=ids, labels=ids).loss
            with span("backward"):
                loss.backward()
            with span("optimizer"):
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
        return loss

    return step


def _captured(step: Step, point: Point, device: str) -> Step:
    """The step as a CUDA graph that is replayed."""
    torch = load("torch")
    if device != "cuda":
        raise GpuprobeError("CUDA graphs need a CUDA GPU", "use --mode eager or compile")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):  # libraries and caches allocate what a capture may not
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except torch.cuda.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise GpuprobeError(
            f"{point.name} cannot be captured in a CUDA graph: {(str(error).splitlines() or [''])[0]}",
            "use --mode eager or compile; mixtures of experts choose their experts on the host",
        ) from error
    return graph.replay  # type: ignore[no-any-return]


def range_of(device: str) -> Callable[[str], Any]:
    """NVTX ranges as a context manager; without CUDA torch's own, which no recorder sees."""
    torch = load("torch")
    return torch.cuda.nvtx.range if device == "cuda" else torch.profiler.record_function  # type: ignore[no-any-return]
