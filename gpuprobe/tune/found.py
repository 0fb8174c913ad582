"""Results of tuning kept on disk: one small file a question, found again by device, driver, compiler and problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpuprobe.files import write_atomically

SCHEMA: Final = 2


@dataclass(frozen=True)
class Key:
    """What a result depends on. The device's UUID is kept as a hash: results may be shared."""

    uuid: str
    driver: str
    triton: str
    question: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """As a JSON object."""
        device = hashlib.sha256(self.uuid.encode()).hexdigest()[:16]
        return {"device": device, "driver": self.driver, "triton": self.triton, "question": dict(self.question)}

    @property
    def name(self) -> str:
        """The file's name."""
        text = json.dumps(self.document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24] + ".json"


def recall(folder: Path, key: Key) -> dict[str, Any] | None:
    """The result kept for ``key``, or None; a file that is torn, older or another's counts as none."""
    try:
        kept = json.loads((folder / key.name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("schema") != SCHEMA or kept.get("key") != key.document:
        return None
    result = kept.get("result")
    return result if isinstance(result, dict) else None


def keep(folder: Path, key: Key, result: Mapping[str, Any]) -> Path:
    """Write the result of ``key``, whole or not at all; GpuprobeError where the folder cannot be written."""
    path = folder / key.name
    text = json.dumps({"schema": SCHEMA, "key": key.document, "result": dict(result)}, allow_nan=False, indent=1)
    write_atomically(path, text.encode())
    return path
