"""A model of transformers with random weights on the GPU, built from its configuration: nothing is downloaded."""

from __future__ import annotations

import inspect
from importlib import import_module
from types import ModuleType
from typing import Any

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu.llm.plan import MODELS

DTYPE = "bfloat16"


def load(package: str) -> ModuleType:
    """A package of the workload; GpuprobeError (exit 3) where it is missing or broken."""
    try:
        return import_module(package)
    except ImportError as error:
        raise GpuprobeError(
            f"a workload runs on {package}, which cannot be imported here: {error}",
            f"pip install {package}",
            Exit.MACHINE_LACKS,
        ) from error


def build(name: str, device: str) -> Any:
    """The model called ``name`` in bfloat16 on ``device``, for inference."""
    torch, transformers = load("torch"), load("transformers")
    transformers.logging.set_verbosity_error()
    chosen = MODELS[name]
    config = transformers.AutoConfig.for_model(chosen.family, **chosen.config)
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, DTYPE))
    try:
        with torch.device(device):  # random numbers are drawn on the GPU: seconds instead of minutes
            model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    finally:
        torch.set_default_dtype(before)
    return model.to(device).eval()


def with_adapters(model: Any, name: str) -> Any:
    """The model with LoRA adapters of rank 16 on its attention layers; only those are trained."""
    peft = load("peft")
    linears = list(MODELS[name].linears)
    return peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=linears)).train()


def static_cache(model: Any, batch: int, length: int, device: str) -> Any:
    """A key-value cache of fixed size; its constructor's arguments changed between versions of transformers."""
    static = load("transformers").StaticCache
    accepted = inspect.signature(static.__init__).parameters
    given = {
        "config": model.config,
        "max_cache_len": length,
        "max_batch_size": batch,
        "batch_size": batch,
        "device": device,
        "dtype": getattr(load("torch"), DTYPE),
    }
    return static(**{key: value for key, value in given.items() if key in accepted})


def accepted_by(model: Any, **arguments: Any) -> dict[str, Any]:
    """Those of the arguments that the model's ``forward`` knows by name."""
    known = inspect.signature(model.forward).parameters
    return {key: value for key, value in arguments.items() if key in known}
