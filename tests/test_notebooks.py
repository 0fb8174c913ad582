"""The notebooks run from recordings, are those of their sources, and were committed with small outputs."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "notebooks"
SOURCES = sorted((FOLDER / "sources").glob("*.py"))
LIMIT_BYTES = 300_000

_spec = importlib.util.spec_from_file_location("notebooks_build", FOLDER / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


def test_there_are_five_stories():
    assert [path.name[0] for path in SOURCES] == list("12345")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_runs(source, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    build.execute(build.notebook(source))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_committed_notebook_is_that_of_its_source_and_executed(source):
    path = FOLDER / f"{source.stem}.ipynb"
    committed = json.loads(path.read_text(encoding="utf-8"))
    expected = build.cells(source.read_text(encoding="utf-8"))
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in committed["cells"]] == expected, (
        f"write it anew with: python notebooks/build.py {source.name[0]}"
    )
    code = [cell for cell in committed["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert "error" not in kinds and "display_data" in kinds
    assert path.stat().st_size < LIMIT_BYTES


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_only_the_public_api_is_used(source):
    imports = re.findall(r"^(?:from|import) (gpuprobe\S*)", source.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(imports) <= {"gpuprobe"}


def test_a_failing_cell_fails_the_notebook(tmp_path):
    from nbclient.exceptions import CellExecutionError

    source = tmp_path / "broken.py"
    source.write_text("# %%\nraise ValueError('broken')\n", encoding="utf-8")
    with pytest.raises(CellExecutionError, match="broken"):
        build.execute(build.notebook(source))


def test_a_gpu_is_measured_as_soon_as_its_recording_lies_in_reports(tmp_path, monkeypatch):
    from dataclasses import replace

    from gpuprobe import load_profile, resources
    from gpuprobe.run_files import read_run, write_run

    assert "h200-sxm" in (FOLDER / "sources" / "5_choose_a_gpu.py").read_text(encoding="utf-8")
    run = read_run(ROOT / "reports" / "h100-sxm" / "aa" / "quick1.json.gz")
    device = replace(run.device, name="h200-sxm", product="NVIDIA H200")
    write_run(replace(run, device=device), tmp_path / "h200-sxm" / "run.json.gz")
    folder = resources.folder
    monkeypatch.setattr(resources, "folder", lambda name: tmp_path if name == "reports" else folder(name))
    profile = load_profile("h200-sxm")
    assert profile.product == "NVIDIA H200" and profile.bandwidth("DRAM").origin == "measured"


def test_the_committed_notebooks_warn_of_nothing():
    for source in SOURCES:
        committed = json.loads((FOLDER / f"{source.stem}.ipynb").read_text(encoding="utf-8"))
        outputs = [output for cell in committed["cells"] for output in cell.get("outputs", ())]
        assert not [output for output in outputs if output.get("name") == "stderr"], source.name
