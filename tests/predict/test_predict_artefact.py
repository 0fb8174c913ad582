"""Artefacts: what was written is read; what is damaged, foreign or executable is refused in one line."""

import io
import json

import numpy as np
import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.predict import artefact
from gpuprobe.predict.predictor import Predictor

from .synthetic import fitted


@pytest.fixture
def path(tmp_path):
    head, _ = fitted()
    artefact.write(tmp_path / "gemm.npz", "h100-sxm", "gpuprobe", [head])
    return tmp_path / "gemm.npz"


def test_what_is_read_predicts_the_same(path):
    head, _ = fitted()
    found = artefact.read(path)
    assert found.device == "h100-sxm" and found.model_id.startswith("gemm-h100-sxm-gpuprobe-")
    assert found.heads[0].one(77, 1024, 2048, "tn") == head.one(77, 1024, 2048, "tn")
    prediction = Predictor.from_file(path).gemm(77, 1024, 2048)
    assert prediction.hot == head.one(77, 1024, 2048, "tn").values["hot"] and prediction.in_domain


@pytest.mark.parametrize("place", [0, 40, 0.3, 0.6, -60, -1])
def test_any_damage_is_refused(path, place):
    data = bytearray(path.read_bytes())
    at = int(place * len(data)) if isinstance(place, float) else place
    data[at] ^= 0xFF
    path.write_bytes(data)
    try:
        found = artefact.read(path)
    except GpuprobeError as error:
        assert "is no usable model" in error.message and "\n" not in error.message
    else:  # a byte of the archive's own fields that nothing reads
        assert found.heads[0].one(77, 1024, 2048, "tn") == fitted()[0].one(77, 1024, 2048, "tn")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a model", b"\x93NUMPY\x01\x00v\x00{"])
def test_foreign_files_are_refused(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(GpuprobeError, match="no usable model"):
        artefact.read(tmp_path / "x.npz")


def test_half_a_file_and_none_are_refused(path):
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(GpuprobeError, match="no usable model"):
        artefact.read(path)
    with pytest.raises(GpuprobeError, match="cannot read"):
        artefact.read(path.with_name("none.npz"))


class Bomb:
    def __reduce__(self):
        return print, ("executed",)


def test_pickled_objects_are_refused_and_not_run(tmp_path, capsys):
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array([Bomb()], object))
    (tmp_path / "bomb.npz").write_bytes(buffer.getvalue())
    with pytest.raises(GpuprobeError, match="no usable model"):
        artefact.read(tmp_path / "bomb.npz")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "change", [{"kind": "other"}, {"schema": 99}, {"heads": []}, {"heads": None}, {"digest": "0"}, {"device": "l4"}]
)
def test_a_changed_header_is_refused(path, change):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = json.loads(arrays["header"].tobytes()) | change
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)
    with pytest.raises(GpuprobeError, match="no usable model"):
        artefact.read(path)
