"""The recorder and a stand-in for CUPTI, built once for all tests that record."""

import subprocess
from pathlib import Path

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.trace.record.library import recorder_library
from gpuprobe.trace.record.toolchain import find_compiler, find_headers

NATIVE = Path(__file__).resolve().parent / "native"
FROM_OUTSIDE = ("CUDA_INJECTION64_PATH", "NVTX_INJECTION64_PATH", "RANK", "WORLD_SIZE", "FAKE_BUSY", "FAKE_BLIND")


@pytest.fixture(scope="session")
def built_recorder(tmp_path_factory):
    """Paths of the recorder and of the stand-in."""
    try:
        compiler, headers = find_compiler(), find_headers()
    except GpuprobeError as error:
        pytest.skip(error.message)
    folder = tmp_path_factory.mktemp("built")
    fake = folder / "fake_cupti.so"
    include = [f"-I{path}" for path in headers.folders]
    source = NATIVE / "fake_cupti.cpp"
    subprocess.run([compiler, "-std=c++17", "-fPIC", "-shared", *include, str(source), "-o", str(fake)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GPUPROBE_CACHE", str(folder))
        recorder = recorder_library().library
        assert recorder_library().library == recorder
    return recorder, fake


@pytest.fixture
def fake_cupti(built_recorder, monkeypatch):
    """An environment in which programs are recorded with the stand-in."""
    for name in FROM_OUTSIDE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GPUPROBE_RECORDER", str(built_recorder[0]))
    monkeypatch.setenv("GPUPROBE_CUPTI", str(built_recorder[1]))
