"""One name for each GPU and stream over several processes, each of which numbers them for itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpuprobe.trace.model import Label
from gpuprobe.trace.record.power import PowerLog
from gpuprobe.trace.record.spool import Spool


class DeviceLabels:
    """Device labels: CUDA's number where all processes agree on it, else NVML's, else the order of appearance.

    A stream's label is its number; where several processes use the same GPU the process stands before it.
    """

    def __init__(self, spools: Sequence[Spool], power: Sequence[PowerLog] = ()) -> None:
        self._uuid = {(spool.path, int(row["id"])): _uuid(row["uuid"]) for spool in spools for row in spool["devices"]}
        used = [(spool, device) for spool in spools for device in _used(spool)]
        self._labels = self._label_all(used, {log.uuid: log.index for log in power})
        users: dict[Label, set[int]] = defaultdict(set)
        for spool, device in used:
            users[self.device(spool, device)].add(spool.pid)
        self._shared = {label for label, pids in users.items() if len(pids) > 1}
        self.properties = self._describe(spools, used)

    def device(self, spool: Spool, device: int) -> Label:
        """The label of a process's device number."""
        return self._labels.get(self._uuid.get((spool.path, device), ""), device)

    def stream(self, spool: Spool, device: Label, stream: int) -> Label:
        """The label of a process's stream number on a device."""
        return f"{spool.pid}:{stream}" if device in self._shared else stream

    def of_uuid(self, uuid: str) -> Label:
        """The label of the GPU with NVML's UUID; None where no process used it."""
        return self._labels.get(uuid)

    def _label_all(self, used: list[tuple[Spool, int]], nvml: dict[str, int]) -> dict[str, Label]:
        numbers: dict[str, set[int]] = defaultdict(set)
        for spool, device in used:
            if uuid := self._uuid.get((spool.path, device)):
                numbers[uuid].add(device)
        agreed = [next(iter(found)) for found in numbers.values() if len(found) == 1]
        if len(agreed) == len(numbers) == len(set(agreed)):
            return {uuid: next(iter(found)) for uuid, found in numbers.items()}
        if set(numbers) <= set(nvml):
            return {uuid: nvml[uuid] for uuid in numbers}
        return {uuid: order for order, uuid in enumerate(numbers)}

    def _describe(self, spools: Sequence[Spool], used: list[tuple[Spool, int]]) -> list[dict[str, Any]]:
        """Properties of the GPUs used, in torch.profiler's words."""
        wanted = {self._uuid.get((spool.path, device)) for spool, device in used}
        found: dict[str, dict[str, Any]] = {}
        for spool in spools:
            for row in spool["devices"]:
                uuid = _uuid(row["uuid"])
                if uuid in wanted and uuid not in found:
                    found[uuid] = _properties(spool, row, self.device(spool, int(row["id"])), uuid)
        return list(found.values())


def _properties(spool: Spool, row: Any, label: Label, uuid: str) -> dict[str, Any]:
    return {
        "id": label,
        "name": spool.names.get(int(row["name"]), ""),
        "uuid": uuid,
        "numSms": int(row["multiprocessors"]),
        "computeMajor": int(row["major"]),
        "computeMinor": int(row["minor"]),
        "totalGlobalMem": int(row["memory_bytes"]),
        "l2Bytes": int(row["l2_bytes"]),
    }


def _used(spool: Spool) -> list[int]:
    tables = (spool["kernels"], spool["memory"])
    return [int(device) for device in np.unique(np.concatenate([table["device"] for table in tables]))]


def _uuid(raw: Any) -> str:
    """NVML's spelling of CUDA's 16 bytes: ``GPU-8-4-4-4-12`` hexadecimal digits."""
    digits = bytes(raw).hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
