"""Settings from ``gpuprobe.toml`` and the environment: a flag beats a variable, that the file, that the default.

The file has a table a command, with its options by their long names::

    [predict.gemm]
    gpu = "h100-sxm"

It is ``$GPUPROBE_CONFIG``, else ``gpuprobe.toml`` in the working folder, else in the user's configuration folder. An
option's variable is ``GPUPROBE_`` with command and option in capitals: ``GPUPROBE_PREDICT_GEMM_GPU``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from gpuprobe.errors import GpuprobeError

FILE = "gpuprobe.toml"
VARIABLE = "GPUPROBE_CONFIG"
PREFIX = "GPUPROBE"


def path() -> Path | None:
    """The settings file that counts, None where there is none; GpuprobeError where the variable names no file."""
    named = os.environ.get(VARIABLE)
    if named:
        if not Path(named).is_file():
            raise GpuprobeError(f"{VARIABLE} names {named}, which is no file", f"unset {VARIABLE}, or write that file")
        return Path(named)
    home = Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"))  # noqa: PTH111 - there may be no home
    return next((file for file in (Path(FILE), home / "gpuprobe" / FILE) if file.is_file()), None)


def read(file: Path) -> dict[str, Any]:
    """The tables of a settings file; GpuprobeError where it is no TOML."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GpuprobeError(f"cannot read {file}: {error}", "correct it, or name another in GPUPROBE_CONFIG") from error


def defaults(command: click.Command, table: Any, where: str) -> dict[str, Any]:
    """``table`` with the names click knows in place of long options, for ``command`` and the commands below it.

    GpuprobeError where a name is no option or command of it.
    """
    if not isinstance(table, Mapping):
        raise GpuprobeError(f"{where} is no table of options", f"write [{where}] with a line an option below it")
    names = {option.lstrip("-"): one.name for one in command.params for option in one.opts if one.name}
    known: dict[str, Any] = {}
    for name, value in table.items():
        below = command.commands.get(name) if isinstance(command, click.Group) else None
        if below is not None:
            known[name] = defaults(below, value, f"{where}.{name}")
        elif (option := name.replace("_", "-")) in names:
            known[names[option]] = value
        else:
            raise GpuprobeError(f"{where} has no option '{name}'", f"see: gpuprobe {where.replace('.', ' ')} --help")
    return known


def explain(context: click.Context, file: Path | None) -> list[str]:
    """A line an option of ``context``'s command: name, value, and where the value comes from."""
    sources = {
        ParameterSource.COMMANDLINE: "flag",
        ParameterSource.ENVIRONMENT: "environment",
        ParameterSource.DEFAULT_MAP: str(file),
        ParameterSource.DEFAULT: "default",
    }
    lines = [f"# gpuprobe {context.command_path.partition(' ')[2]}; file: {file or 'none'}"]
    for one in context.command.params:
        if one.name and isinstance(one, click.Option) and one.name != "help":
            source = context.get_parameter_source(one.name) or ParameterSource.DEFAULT
            name = max(one.opts, key=len).lstrip("-")
            lines.append(f"{name} = {_shown(context.params.get(one.name))}  # {sources.get(source, 'default')}")
    return lines


def _shown(value: object) -> str:
    """A value as TOML has it; an unset one as a comment would."""
    if value is None or isinstance(value, bool):
        return "(unset)" if value is None else str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'
