"""Language models on GPUs: a model's layers as operations, and from them time, memory, power, energy and advice."""

from collections.abc import Mapping
from functools import lru_cache

from gpuprobe.llm.answer import LlmPrediction, answer
from gpuprobe.llm.catalogue import load as load_model
from gpuprobe.llm.catalogue import models
from gpuprobe.llm.hardware import Hardware, hardware
from gpuprobe.llm.model import LanguageModel
from gpuprobe.llm.plan import Plan

__all__ = [
    "Hardware",
    "LanguageModel",
    "LlmPrediction",
    "Plan",
    "answer",
    "hardware",
    "load_model",
    "loaded",
    "models",
    "predict",
]


def predict(
    model: str | LanguageModel,
    *,
    gpu: str = "h100-sxm",
    batch: int = 1,
    prompt: int = 512,
    output: int = 128,
    dtype: str = "bf16",
    kv_dtype: str = "",
    tp: int = 1,
    mode: str = "graphs",
    kernels: str = "fused",
    numbers: Mapping[str, float] | None = None,
) -> LlmPrediction:
    """Time, power, energy and memory of ``batch`` prompts and their outputs on ``tp`` GPUs; GpuprobeError for nonsense.

    ``model``: a name of ``models()``, the path of a config.json, or a LanguageModel; ``numbers`` replace those of the
    prediction's ``gpu.numbers``, for example ``{"host_kernel_s": 8e-6}``.
    """
    known = model if isinstance(model, LanguageModel) else load_model(model)
    plan = Plan(known, batch, prompt, output, dtype, kv_dtype, tp, mode, kernels)
    return answer(plan, loaded(gpu, dtype).given(numbers or {}))


def loaded(gpu: str, dtype: str = "bf16") -> Hardware:
    """A GPU for weights of a type, read once; GpuprobeError for an unknown GPU or one that lacks the type."""
    return _read(gpu).for_type(dtype)


@lru_cache(maxsize=16)
def _read(gpu: str) -> Hardware:
    return hardware(gpu)
