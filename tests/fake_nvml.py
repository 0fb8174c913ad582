"""A pynvml that answers from a dictionary: what is not in it is 'not supported', as on a real GPU that lacks it."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

NOT_SUPPORTED, NO_PERMISSION, NOT_FOUND, LIBRARY_NOT_FOUND, GPU_IS_LOST = 3, 4, 6, 12, 15
POWER_AVERAGE, POWER_INSTANT = 185, 186

H100 = {
    "nvmlSystemGetDriverVersion": "580.159.04",
    "nvmlSystemGetCudaDriverVersion_v2": 13000,
    "nvmlDeviceGetName": "NVIDIA H100 80GB HBM3",
    "nvmlDeviceGetUUID": "GPU-0",
    "nvmlDeviceGetCudaComputeCapability": (9, 0),
    "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=85520809984, used=0, free=85520809984),
    "nvmlDeviceGetPowerManagementLimit": 700000,
    "nvmlDeviceGetEnforcedPowerLimit": 650000,
    "nvmlDeviceGetPowerUsage": 73500,
    "nvmlDeviceGetTotalEnergyConsumption": 123456,
    "nvmlDeviceGetTemperatureV": 31,
    "nvmlDeviceGetTemperature": 31,
    "nvmlDeviceGetCurrentClocksEventReasons": 0x1,
    "nvmlDeviceGetCurrentEccMode": 1,
    "nvmlDeviceGetMigMode": [0, 0],
    "nvmlDeviceGetPersistenceMode": 1,
    "nvmlDeviceGetComputeRunningProcesses_v3": [],
}


class FakeError(Exception):
    """As pynvml.NVMLError: carries the return code."""

    def __init__(self, value: int) -> None:
        super().__init__(f"code {value}")
        self.value = value


class Fails(int):
    """In place of an answer: the NVML return code that the call fails with."""


class FakeNvml(ModuleType):
    """``answers`` by function name; a callable is called with the arguments after the handle."""

    def __init__(self, answers: dict[str, Any] = H100, *, gpus: int = 1, fields: dict[int, int] | None = None) -> None:
        super().__init__("pynvml")
        self.answers, self.gpus, self.opened = dict(answers), gpus, 0
        self.fields = fields if fields is not None else {POWER_INSTANT: 74250, POWER_AVERAGE: 73000}
        self.missing: set[str] = set()
        self.NVMLError = FakeError
        self.NVML_CLOCK_SM, self.NVML_CLOCK_MEM, self.NVML_TEMPERATURE_GPU = 1, 2, 0
        self.clocks = {1: 345, 2: 2619}
        self.max_clocks = {1: 1980, 2: 2619}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("nvml") or name in self.missing:
            raise AttributeError(name)
        return lambda *arguments: self._call(name, *arguments)

    def _call(self, name: str, *arguments: Any) -> Any:
        answer = self.answers.get(name, self._built_in(name, arguments))
        if callable(answer):
            answer = answer(*arguments[1:])
        if isinstance(answer, Fails):
            raise FakeError(int(answer))
        return answer

    def _built_in(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name in ("nvmlInit", "nvmlShutdown"):
            self.opened += 1 if name == "nvmlInit" else -1
            return None
        if name == "nvmlDeviceGetCount":
            return self.gpus
        if name == "nvmlDeviceGetHandleByIndex":
            return arguments[0] if arguments[0] < self.gpus else Fails(2)
        if name in ("nvmlDeviceGetHandleByUUID", "nvmlDeviceGetHandleByPciBusId"):
            return 0 if arguments[0] in ("GPU-0", "0000:01:00.0") else Fails(NOT_FOUND)
        if name == "nvmlDeviceGetClockInfo":
            return self.clocks[arguments[1]]
        if name == "nvmlDeviceGetMaxClockInfo":
            return self.max_clocks[arguments[1]]
        if name == "nvmlDeviceGetFieldValues":
            return [self._field(field) for field in arguments[1]]
        return Fails(NOT_SUPPORTED)

    def _field(self, field: int) -> SimpleNamespace:
        value = SimpleNamespace(dVal=0.0, uiVal=self.fields.get(field, 0))
        code = 0 if field in self.fields else NOT_SUPPORTED
        return SimpleNamespace(fieldId=field, nvmlReturn=code, valueType=1, value=value)
