"""What a start of gpuprobe may load: asked of a fresh interpreter, since this one has loaded everything."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"numpy", "pandas", "sklearn", "scipy", "cupy", "torch", "rich", "pynvml", "cuda", "matplotlib"}

MAIN = "import sys; from gpuprobe.cli import main; code = main({arguments}); assert code == 0, code"


def loaded(code):
    """Top-level modules that a fresh interpreter has loaded beyond its own start after running ``code``."""
    report = (
        f"import sys; before = set(sys.modules)\n{code}\n"
        "names = sorted({name.partition('.')[0] for name in set(sys.modules) - before}); "
        "import json; sys.stderr.write(json.dumps(names))"
    )
    done = subprocess.run([sys.executable, "-c", report], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr))


def test_import_gpuprobe_loads_nothing_heavy():
    assert not loaded("import gpuprobe") & HEAVY


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_the_overview_loads_nothing_heavy_and_not_even_click(arguments):
    found = loaded(MAIN.format(arguments=arguments))
    assert not found & (HEAVY | {"click", "json", "dataclasses"})
    assert "gpuprobe" in found


def test_help_of_a_command_loads_nothing_heavy():
    assert not loaded(MAIN.format(arguments=["doctor", "--help"])) & HEAVY


@pytest.mark.parametrize("module", ["record", "errors", "resources", "arch", "device", "probe", "gpu.nvml"])
def test_modules_of_plain_data_load_nothing_heavy(module):
    assert not loaded(f"import gpuprobe.{module}") & HEAVY


def test_the_list_of_heavy_modules_is_noticed():
    assert "rich" in loaded("import rich")
