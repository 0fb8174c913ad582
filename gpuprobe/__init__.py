"""gpuprobe: microbenchmarks, traces and performance models for NVIDIA GPUs.

The names below load what they need when first asked for: ``import gpuprobe`` itself loads nothing. Functions and their
arguments: docs/reference/api.md. ``predict``, ``trace`` and ``tune`` are packages used as namespaces.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from gpuprobe import predict as predict
    from gpuprobe import trace as trace
    from gpuprobe import tune as tune
    from gpuprobe.api import Analysis as Analysis
    from gpuprobe.api import RooflinePicture as RooflinePicture
    from gpuprobe.api import analyze as analyze
    from gpuprobe.api import compare as compare
    from gpuprobe.api import compare_traces as compare_traces
    from gpuprobe.api import draw_roofline as draw_roofline
    from gpuprobe.api import kernel_sweeps as kernel_sweeps
    from gpuprobe.api import load as load
    from gpuprobe.api import load_profile as load_profile
    from gpuprobe.api import load_run as load_run
    from gpuprobe.api import load_trace as load_trace
    from gpuprobe.api import microbench as microbench
    from gpuprobe.api import model_card as model_card
    from gpuprobe.api import open_gpu as open_gpu
    from gpuprobe.api import recorded_trace as recorded_trace
    from gpuprobe.api import recording as recording
    from gpuprobe.api import write_report as write_report
    from gpuprobe.comparison import Comparison as Comparison
    from gpuprobe.errors import GpuprobeError as GpuprobeError
    from gpuprobe.predict.predictor import Predictor as Predictor
    from gpuprobe.profile import DeviceProfile as DeviceProfile
    from gpuprobe.record import Run as Run
    from gpuprobe.tune.predictor import KernelPredictor as KernelPredictor
    from gpuprobe.tune.predictor import rank as rank

_HOME = {
    **dict.fromkeys(
        (
            "Analysis", "RooflinePicture", "analyze", "compare", "compare_traces", "draw_roofline", "kernel_sweeps",
            "load", "load_profile", "load_run", "load_trace", "microbench", "model_card", "open_gpu",
            "recorded_trace", "recording", "write_report",
        ),
        "api",
    ),
    "Comparison": "comparison",
    "GpuprobeError": "errors",
    "Predictor": "predict.predictor",
    "DeviceProfile": "profile",
    "Run": "record",
    "KernelPredictor": "tune.predictor",
    "rank": "tune.predictor",
}  # fmt: skip
"""Public name → the module that holds it."""
_NAMESPACES = ("predict", "trace", "tune")

__all__ = [*_HOME, *_NAMESPACES, "__version__"]  # noqa: PLE0604 - names of a table, all of them texts


def __getattr__(name: str) -> object:
    """A public name, loaded when first asked for."""
    if name not in _HOME and name not in _NAMESPACES:
        raise AttributeError(f"module 'gpuprobe' has no attribute '{name}'")
    from importlib import import_module  # noqa: PLC0415 - gpuprobe --help needs none of this

    if name in _NAMESPACES:
        return import_module(f"gpuprobe.{name}")
    found: object = getattr(import_module(f"gpuprobe.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """What the package offers, loaded or not."""
    return sorted(__all__)
