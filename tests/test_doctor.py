import itertools
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from fake_nvml import LIBRARY_NOT_FOUND, NO_PERMISSION, NOT_SUPPORTED, Fails, FakeNvml

from gpuprobe import doctor, sass
from gpuprobe.build import nvrtc
from gpuprobe.cli import main
from gpuprobe.doctor import Check, blocker, counter_permission, folder_check
from gpuprobe.errors import GpuprobeError
from gpuprobe.gpu import software


class FakeCupy(ModuleType):
    """A CuPy that imports; ``refuses`` is what CUDA answers, if anything."""

    def __init__(self, refuses=""):
        super().__init__("cupy")
        self.__version__, self.__file__ = "13.6.0", "cupy/__init__.py"

        def count():
            if refuses:
                raise RuntimeError(refuses)
            return 1

        self.cuda = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=count, CUDARuntimeError=RuntimeError))


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with one healthy H100, and its NVML to make ill."""
    library = FakeNvml()
    ticks = itertools.count()
    library.answers["nvmlDeviceGetTotalEnergyConsumption"] = lambda: 7000 * next(ticks)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy())
    monkeypatch.setattr(doctor, "TICK_POLL_S", 0.01)
    monkeypatch.setattr(software, "cupti_library", lambda: software.Library("130001", "libcupti.so.13"))
    monkeypatch.setattr(doctor, "DRIVER_PARAMETERS", tmp_path / "params")
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "params").write_text("ResmanDebugLevel: 4294967295\nRmProfilingAdminOnly: 0\n")
    monkeypatch.setattr(nvrtc, "compile_unit", lambda unit: b"cubin")
    monkeypatch.setattr(sass, "disassemble", lambda cubin: ())
    return library


def rows(gpu=0):
    return {check.check: check for check in doctor.examine() if check.gpu in (gpu, None)}


def without_driver(library):
    library.answers["nvmlInit"] = Fails(LIBRARY_NOT_FOUND)


def test_a_healthy_machine_has_nothing_to_mend(machine):
    checks = doctor.examine()
    assert [check for check in checks if check.status != "ok"] == []
    assert blocker(checks) is None
    assert rows()["product"].detail == "NVIDIA H100 80GB HBM3, sm_90, device file h100-sxm.toml"
    assert rows()["sensors"].detail == "74 W of 650 W, SM 345 MHz of 1980 MHz, 31 °C, gpu_idle"
    assert rows()["driver"].detail == "580.159.04, CUDA 13.0"


def test_without_a_driver_the_machine_still_builds_and_replays(machine):
    without_driver(machine)
    checks = doctor.examine()
    assert blocker(checks).check == "driver"
    assert {check.status for check in checks} == {"ok", "warn"}
    assert not [check for check in checks if check.gpu is not None]


def test_a_driver_without_a_gpu_is_told_apart(machine):
    machine.gpus = 0
    assert blocker(doctor.examine()).check == "GPU"


def test_mig_blocks_and_says_how_to_switch_it_off(machine):
    machine.answers["nvmlDeviceGetMigMode"] = [1, 1]
    row = rows()["MIG"]
    assert (row.status, row.blocks_measuring) == ("warn", True)
    assert "nvidia-smi -i 0 -mig 0" in row.remedy
    assert blocker(doctor.examine()) == row


def test_one_blocked_gpu_of_two_does_not_block_the_machine(machine):
    machine.gpus = 2
    modes = iter([[1, 1], [0, 0]])
    machine.answers["nvmlDeviceGetMigMode"] = lambda: next(modes)
    checks = doctor.examine()
    assert [check.gpu for check in checks if check.blocks_measuring] == [0]
    assert blocker(checks) is None


@pytest.mark.parametrize(
    ("answers", "check", "status", "says"),
    [
        (
            {"nvmlDeviceGetComputeRunningProcesses_v3": [SimpleNamespace(pid=1 << 30)]},
            "other processes",
            "warn",
            "1 on",
        ),
        ({"nvmlDeviceGetComputeRunningProcesses_v3": Fails(NO_PERMISSION)}, "other processes", "warn", "not visible"),
        ({"nvmlDeviceGetPersistenceMode": 0}, "persistence", "warn", "off"),
        ({"nvmlDeviceGetCurrentEccMode": Fails(NOT_SUPPORTED)}, "ECC", "ok", "not supported"),
        ({"nvmlDeviceGetMigMode": Fails(NOT_SUPPORTED)}, "MIG", "ok", "not supported"),
        ({"nvmlDeviceGetTotalEnergyConsumption": Fails(NOT_SUPPORTED)}, "energy counter", "warn", "not supported"),
        ({"nvmlDeviceGetTotalEnergyConsumption": 5}, "energy counter", "warn", "fewer than three"),
        ({"nvmlDeviceGetCurrentClocksEventReasons": 0x44}, "sensors", "warn", "hw_thermal_slowdown"),
        ({"nvmlDeviceGetName": "NVIDIA Prototype"}, "product", "warn", "no device file"),
        ({"nvmlDeviceGetCudaComputeCapability": (3, 5)}, "product", "warn", "no probe is built"),
    ],
)
def test_each_illness_is_one_row_with_a_remedy(machine, answers, check, status, says):
    machine.answers |= answers
    row = rows()[check]
    assert row.status == status
    assert says in row.detail
    assert row.remedy or status == "ok"


def test_a_lost_gpu_is_a_row_and_the_rest_goes_on(machine):
    machine.answers["nvmlDeviceGetMigMode"] = Fails(15)
    found = rows()
    assert "lost" in next(check for check in doctor.examine() if check.gpu == 0 and check.status == "missing").detail
    assert found["NVRTC"].status == "ok"


def test_no_compiler_is_missing_and_blocks(machine, monkeypatch):
    def refuse(unit):
        raise GpuprobeError("NVRTC is not installed")

    monkeypatch.setattr(nvrtc, "compile_unit", refuse)
    found = rows()
    assert (found["NVRTC"].status, found["nvdisasm"].status) == ("missing", "warn")
    assert "pip install" in found["NVRTC"].remedy
    assert blocker(doctor.examine()).check == "NVRTC"


def test_a_real_kernel_is_built_and_read_here(machine, monkeypatch):
    monkeypatch.undo()
    found = {check.check: check for check in doctor._compilers(())}
    assert (found["NVRTC"].status, found["nvdisasm"].status) == ("ok", "ok")
    assert "sm_90a" in found["NVRTC"].detail


def test_cupy_is_needed_only_with_a_gpu_and_of_the_driver_s_cuda(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    machine.answers["nvmlSystemGetCudaDriverVersion_v2"] = 12040
    row = rows()["CuPy"]
    assert (row.status, row.blocks_measuring) == ("missing", True)
    assert row.remedy == "pip install 'gpuprobe[cuda12]'"
    without_driver(machine)
    assert (rows()["CuPy"].status, rows()["CuPy"].blocks_measuring) == ("warn", False)


def test_a_cupy_that_the_driver_refuses_is_missing(machine, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", FakeCupy("cudaErrorInsufficientDriver"))
    row = rows()["CuPy"]
    assert row.status == "missing"
    assert "cudaErrorInsufficientDriver" in row.detail


@pytest.mark.parametrize(
    ("parameters", "capabilities", "status"),
    [
        ("RmProfilingAdminOnly: 0", "0000000000000000", "ok"),
        ("RmProfilingAdminOnly: 1", "0000000000000000", "warn"),
        ("RmProfilingAdminOnly: 1", "00000000a80425fb", "warn"),  # root of a container
        ("RmProfilingAdminOnly: 1", "000001ffffffffff", "ok"),  # root
        ("SomethingElse: 1", "000001ffffffffff", "warn"),
    ],
)
def test_counter_permission_is_of_parameter_and_capability(tmp_path, parameters, capabilities, status):
    (tmp_path / "params").write_text(parameters + "\n")
    (tmp_path / "status").write_text(f"Name:\tpython\nCapEff:\t{capabilities}\n")
    row = counter_permission(tmp_path / "params", tmp_path / "status")
    assert row.status == status
    assert bool(row.remedy) == (status != "ok")


def test_a_folder_that_cannot_be_written_or_is_full(tmp_path):
    (tmp_path / "file").write_text("")
    assert folder_check("cache", tmp_path / "new" / "deep").status == "ok"
    assert not (tmp_path / "new").exists()
    blocked = folder_check("cache", tmp_path / "file" / "cache")
    assert (blocked.status, blocked.remedy) == ("warn", "export GPUPROBE_CACHE=FOLDER")
    assert folder_check("cache", tmp_path, enough_bytes=1 << 62).status == "warn"


def test_the_command_prints_every_row_and_its_remedy(machine, capsys):
    machine.answers["nvmlDeviceGetMigMode"] = [1, 1]
    assert main(["doctor"]) == 0
    result = capsys.readouterr()
    assert "GPU 0 MIG" in result.out
    assert "nvidia-smi -i 0 -mig 0" in result.out
    assert "No GPU can be measured here (GPU 0 MIG)" in result.err


def test_json_is_one_document_and_nothing_else(machine, capsys):
    assert main(["doctor", "--json"]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert captured.err == ""
    assert (document["schema"], document["can_measure"]) == (1, True)
    assert set(document["checks"][0]) == {"check", "status", "detail", "remedy", "blocks_measuring", "gpu"}


@pytest.mark.parametrize("arguments", [["doctor"], ["doctor", "--json"]])
def test_no_gpu_is_an_error_only_where_one_is_required(machine, capsys, arguments):
    without_driver(machine)
    assert main(arguments) == 0
    assert main([*arguments, "--require-gpu"]) == 3
    lines = capsys.readouterr().err.splitlines()[-2:]
    assert lines[0].startswith("gpuprobe: error: no GPU can be measured here")
    assert lines[1].startswith("  hint: install the NVIDIA driver")


def test_blockers_of_the_machine_come_before_those_of_a_gpu():
    fine = Check("product", "ok", "", gpu=0)
    mig = Check("MIG", "warn", "", blocks_measuring=True, gpu=1)
    cupy = Check("CuPy", "missing", "", blocks_measuring=True)
    assert blocker([fine, mig]) is None
    assert blocker([mig]) == mig
    assert blocker([fine, mig, cupy]) == cupy
    assert blocker([]) is None
