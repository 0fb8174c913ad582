"""A worker process: reads commands from one pipe, answers on another. ``python -m gpuprobe.kernel_eval.worker ROLE …``.

Nothing here needs torch: what touches arrays is a backend, named on the command line and imported then.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any, BinaryIO, Final

from gpuprobe.kernel_eval.fence import end_with_parent, give_up_rights, hide_memory

BACKENDS: Final = {
    "numpy": "gpuprobe.kernel_eval.numpy_backend",
    "torch": "gpuprobe.gpu.kernel_torch",
}
ROLES: Final = {
    "reference": "gpuprobe.kernel_eval.referee",
    "pace": "gpuprobe.kernel_eval.pacer",
    "candidate": "gpuprobe.kernel_eval.runner",
}


def main(arguments: list[str]) -> int:
    """Serve commands until the pipe closes: ROLE BACKEND DEVICE READ_FD WRITE_FD.

    A command is a line of JSON, followed by as many bytes as its ``payload_bytes`` says; so is an answer.
    """
    role, backend, device, read_fd, write_fd = arguments
    end_with_parent()
    give_up_rights() if role == "candidate" else hide_memory()
    server = import_module(ROLES[role]).make(import_module(module_of(backend)).make(device))
    os.set_inheritable(int(read_fd), False)
    os.set_inheritable(int(write_fd), False)
    with os.fdopen(int(read_fd), "rb") as asked, os.fdopen(int(write_fd), "wb") as answers:
        for line in asked:
            command = json.loads(line)
            size = command.pop("payload_bytes", 0)
            if size:
                command["payload"] = asked.read(size)
            say = _answers(answers, command.pop("token"))
            _serve(server, command.pop("command"), command, say)
    return 0


def module_of(backend: str) -> str:
    """The module of a backend: of a known one, or of one that is named by its module."""
    return BACKENDS.get(backend, backend)


def _answers(pipe: BinaryIO, token: str) -> Callable[[dict[str, Any]], None]:
    """What writes answers to the question that came with a token."""

    def say(document: dict[str, Any]) -> None:
        payload: bytes = document.pop("payload", b"")
        size = {"payload_bytes": len(payload)} if payload else {}
        pipe.write(json.dumps({**document, **size, "token": token}).encode() + b"\n" + payload)
        pipe.flush()

    return say


def _serve(server: Any, name: str, arguments: dict[str, Any], say: Callable[[dict[str, Any]], None]) -> None:
    """One command; what it raises becomes an answer. SystemExit too: a candidate must not leave by it unseen.

    An answer says that all is done, and the next process acts on it: what the device has still to do is waited for.
    """
    try:
        answer = getattr(server, "do_" + name)(say=say, **arguments)
        server.settle()
        say(answer)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001  whatever a candidate raises is a verdict on it
        say({"fault": server.fault_kind(error), "detail": _one_line(error), "trace": traceback.format_exc()[-4000:]})


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
