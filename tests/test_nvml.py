import os
import sys
from types import SimpleNamespace

import pytest
from fake_nvml import GPU_IS_LOST, H100, LIBRARY_NOT_FOUND, NO_PERMISSION, NOT_SUPPORTED, Fails, FakeNvml
from hypothesis import given
from hypothesis import strategies as st

from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.gpu import nvml
from gpuprobe.gpu.nvml import THROTTLED, Nvml, is_throttled, throttle_names, update_tick_s


@pytest.fixture
def fake(monkeypatch):
    library = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", library)
    return library


def test_everything_is_in_si_units(fake):
    with Nvml(0) as gpu:
        assert gpu.name == "NVIDIA H100 80GB HBM3"
        assert (gpu.power_limit_w, gpu.enforced_power_limit_w) == (700.0, 650.0)
        assert gpu.energy_j == pytest.approx(123.456)
        assert (gpu.sm_clock_hz, gpu.max_sm_clock_hz) == (345e6, 1980e6)
        assert (gpu.mem_clock_hz, gpu.max_mem_clock_hz) == (2619e6, 2619e6)
        assert gpu.memory == nvml.Memory(total=85520809984, used=0, free=85520809984)
        assert (gpu.ecc, gpu.mig, gpu.persistence) == (True, False, True)


def test_a_reading_prefers_instantaneous_power_and_carries_its_times(fake):
    times = iter([10.0, 10.25])
    with Nvml(0) as gpu:
        reading = gpu.read(lambda: next(times))
    assert (reading.begin_s, reading.end_s) == (10.0, 10.25)
    assert (reading.power_w, reading.power_average_w) == (74.25, 73.0)
    assert (reading.temperature_c, reading.throttle) == (31.0, 1)


def test_without_the_power_fields_the_default_reading_is_used(fake):
    fake.fields = {}
    with Nvml(0) as gpu:
        reading = gpu.read()
    assert (reading.power_w, reading.power_average_w) == (73.5, None)


def test_what_a_gpu_lacks_is_none_not_zero(fake):
    fake.fields = {}
    fake.answers = {"nvmlDeviceGetName": "NVIDIA GeForce"}
    with Nvml(0) as gpu:
        reading = gpu.read()
        known = [gpu.ecc, gpu.mig, gpu.persistence, gpu.memory, gpu.energy_j, gpu.other_processes()]
    assert known == [None] * len(known)
    assert (reading.power_w, reading.temperature_c, reading.throttle, reading.energy_j) == (None, None, None, None)


def test_permission_denied_on_a_query_is_not_known(fake):
    fake.answers["nvmlDeviceGetComputeRunningProcesses_v3"] = Fails(NO_PERMISSION)
    fake.answers["nvmlDeviceGetComputeRunningProcesses_v2"] = Fails(NO_PERMISSION)
    with Nvml(0) as gpu:
        assert gpu.other_processes() is None


def test_own_process_is_not_another(fake):
    fake.answers["nvmlDeviceGetComputeRunningProcesses_v3"] = [
        SimpleNamespace(pid=os.getpid()),
        SimpleNamespace(pid=1 << 30),
    ]
    with Nvml(0) as gpu:
        assert gpu.other_processes() == 1


@pytest.mark.parametrize("gone", ["from the package", "from the driver"])
def test_names_of_an_older_package_or_driver_are_tried(fake, gone):
    new = {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetTemperatureV", "nvmlSystemGetCudaDriverVersion_v2"}
    for name in new:
        fake.answers[name] = Fails(13)  # function not found
    if gone == "from the package":
        fake.missing = new
    fake.answers |= {"nvmlDeviceGetCurrentClocksThrottleReasons": 0x24, "nvmlSystemGetCudaDriverVersion": 12020}
    with Nvml(0) as gpu:
        assert (gpu.throttle, gpu.temperature_c) == (0x24, 31.0)
    assert nvml.driver_versions() == ("580.159.04", "12.2")


def test_no_driver_says_so_and_how_to_get_one(fake):
    fake.answers["nvmlInit"] = Fails(LIBRARY_NOT_FOUND)
    with pytest.raises(GpuprobeError, match="no NVIDIA driver") as raised:
        nvml.devices()
    assert raised.value.exit_code == Exit.MACHINE_LACKS
    assert raised.value.hint


def test_a_lost_gpu_is_an_error_not_an_unknown(fake):
    with Nvml(0) as gpu:
        fake.answers["nvmlDeviceGetTotalEnergyConsumption"] = Fails(GPU_IS_LOST)
        with pytest.raises(GpuprobeError, match="lost"):
            gpu.read()


def test_a_missing_package_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(GpuprobeError, match="nvidia-ml-py is not installed"):
        nvml.devices()


@pytest.mark.parametrize("selector", [0, "GPU-0", "0000:01:00.0"])
def test_a_gpu_is_selected_by_index_uuid_or_bus_id(fake, selector):
    with Nvml(selector) as gpu:
        assert gpu.uuid == "GPU-0"


@pytest.mark.parametrize("selector", [7, "GPU-none", "0000:99:00.0"])
def test_a_gpu_that_is_not_there_is_named_and_nvml_let_go(fake, selector):
    with pytest.raises(GpuprobeError, match=str(selector)):
        Nvml(selector)
    assert fake.opened == 0


def test_devices_are_listed_with_their_architecture(fake):
    fake.gpus = 2
    assert [(gpu.index, gpu.architecture) for gpu in nvml.devices()] == [(0, "sm_90"), (1, "sm_90")]
    assert fake.opened == 0


def test_only_power_and_heat_count_as_throttling():
    names = {"sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake"}
    assert set(throttle_names(THROTTLED)) == names
    assert not is_throttled(0x1 | 0x2 | 0x10 | 0x100)
    assert throttle_names(0) == ()
    assert throttle_names(0x5 | 1 << 20) == ("gpu_idle", "sw_power_cap", "0x100000")


@given(st.integers(0, (1 << 64) - 1))
def test_every_bit_gets_one_name(bits):
    assert len(set(throttle_names(bits))) == bits.bit_count()


@given(st.integers(2, 40), st.integers(0, 1000))
def test_the_tick_of_a_counter_is_found(period_ms, phase_ms):
    now_ms = iter(range(phase_ms, phase_ms + 100000))
    moment = [0]

    def clock():
        moment[0] = next(now_ms)
        return moment[0] / 1e3

    tick_s = update_tick_s(lambda: moment[0] // period_ms, 0.5, clock)
    assert tick_s == pytest.approx(period_ms / 1e3, abs=1.1e-3)


def test_a_counter_that_stands_still_has_no_tick():
    now = iter(range(1000))
    assert update_tick_s(lambda: 5.0, 100, lambda: float(next(now))) is None


def test_the_fake_answers_as_the_real_package_is_named():
    import pynvml

    names = set(H100) - {"nvmlDeviceGetTemperatureV"}  # newer than the oldest package that is allowed
    assert {name for name in names if not hasattr(pynvml, name)} == set()
    assert (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_GPU_IS_LOST) == (NOT_SUPPORTED, GPU_IS_LOST)
    fields = (pynvml.NVML_FI_DEV_POWER_AVERAGE, pynvml.NVML_FI_DEV_POWER_INSTANT)
    assert fields == (nvml._FIELD_POWER_AVERAGE, nvml._FIELD_POWER_INSTANT)
