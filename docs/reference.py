"""Writes docs/reference/: cli.md from the commands' own --help, api.md from the docstrings of gpuprobe's public names.

Use: python docs/reference.py [--check].
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import gpuprobe
from gpuprobe.cli import COMMANDS, overview
from gpuprobe.cli.group import GROUP

FOLDER = Path(__file__).parent / "reference"
WIDTH = 100
HEAD = """\
# Command line

Written by `python docs/reference.py` from `--help`; a test keeps it true. Settings: see `gpuprobe.toml` below.
"""
SETTINGS = """\
## Settings

An option is taken from the command line, else from the environment, else from `gpuprobe.toml`, else its default holds.
`gpuprobe COMMAND --print-config` says which.

```toml
# gpuprobe.toml in the working folder, or ~/.config/gpuprobe/gpuprobe.toml, or the file in $GPUPROBE_CONFIG
[predict.gemm]
gpu = "h100-sxm"
```

The environment's name of the same option is `GPUPROBE_PREDICT_GEMM_GPU`. Further variables: `GPUPROBE_CACHE` and
`GPUPROBE_STATE` name the folders of built kernels and of journals; `GPUPROBE_FOREST=off` and `GPUPROBE_SCANNER=off`
leave the native parts of the predictor and the trace reader out (the same numbers, slower); `NO_COLOR` keeps tables
plain.

Completion: `eval "$(_GPUPROBE_COMPLETE=bash_source gpuprobe)"` in `~/.bashrc` (`zsh_source`, `fish_source` alike).
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, f"```text\n{overview()}\n```\n"]
    for name in COMMANDS:
        parts += _sections(GROUP.get_command(click.Context(GROUP), name), f"gpuprobe {name}")
    return "\n".join([*parts, SETTINGS])


def _sections(command: click.Command | None, path: str) -> Iterator[str]:
    """The help of a command and of those below it."""
    if command is None:
        raise LookupError(f"{path} is in the table of commands and cannot be imported")
    context = click.Context(command, info_name=path, max_content_width=WIDTH, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    yield f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from _sections(command.get_command(context, name), f"{path} {name}")


API_HEAD = """\
# Python API

Written by `python docs/reference.py` from signatures and docstrings; a test keeps it true. Everything is imported from
`gpuprobe` itself (`from gpuprobe import load`), loads what it needs when first used, and never prints.
`import gpuprobe` alone loads nothing.

DataFrames (`to_frame()`) need `pip install 'gpuprobe[notebooks]'`. Errors are `GpuprobeError`: what failed, the remedy.
Where a name has a command of the command line, both do the same.
"""
MEMBERS = ("Run", "Comparison", "DeviceProfile", "Predictor", "KernelPredictor", "Analysis", "RooflinePicture")
"""Classes whose own public methods are listed."""
SPACES = {"predict": ("gemm",), "trace": ("load",), "tune": ("read_sweeps",)}


def api_page() -> str:
    """The page of the public names: functions, then classes with their methods, then namespaces."""
    names = sorted(set(gpuprobe.__all__) - {"__version__", *SPACES})
    functions = [name for name in names if inspect.isfunction(getattr(gpuprobe, name))]
    parts = [API_HEAD, "## Functions\n", *(_function(getattr(gpuprobe, name), name) for name in functions)]
    parts += ["## Namespaces\n"]
    for space, members in SPACES.items():
        module = getattr(gpuprobe, space)
        parts += [_function(getattr(module, name), f"{space}.{name}") for name in members]
    parts += ["## Classes\n"]
    for name in names:
        if name not in functions:
            parts += _class(getattr(gpuprobe, name), name)
    return "\n".join(parts)


def _function(function: object, name: str) -> str:
    return f"### {name}\n\n```python\n{_signature(function, name)}\n```\n\n{_doc(function)}\n"


def _signature(function: object, name: str) -> str:
    """Name and arguments as they are written, broken into lines where they are long; without ``self`` and ``cls``."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    arguments: list[str] = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in "".join(word[:1] for word in arguments):
            arguments.append("*")
        stars = "*" if one.kind is one.VAR_POSITIONAL else ""
        default = "" if one.default is one.empty else f" = {one.default!r}"
        if one.name not in ("self", "cls"):
            arguments.append(f"{stars}{one.name}: {_words(one.annotation)}{default}")
    line = f"{name}({', '.join(arguments)}) -> {_words(signature.return_annotation)}"
    if len(line) <= WIDTH:
        return line
    inside = "".join(f"    {argument},\n" for argument in arguments)
    return f"{name}(\n{inside}) -> {_words(signature.return_annotation)}"


def _words(annotation: object) -> str:
    return str(annotation).replace("'", "")


def _doc(thing: object) -> str:
    return re.sub(r"``([^`]+)``", r"`\1`", inspect.cleandoc(getattr(thing, "__doc__", None) or ""))


def _class(kind: type, name: str) -> Iterator[str]:
    yield f"### class {name}\n\n{_doc(kind)}\n"
    if name in MEMBERS:
        for member, value in vars(kind).items():
            if member.startswith("_"):
                continue
            if isinstance(value, property):
                yield f"- `{member}`: {_doc(value)}"
            elif isinstance(value, classmethod) or inspect.isfunction(value):
                function = value.__func__ if isinstance(value, classmethod) else value
                signature = " ".join(_signature(function, member).split()).replace("( ", "(").replace(", )", ")")
                yield f"- `{signature}`: {_doc(value).splitlines()[0]}"
        yield ""


PAGES = {"cli.md": page, "api.md": api_page}


def plain(text: str) -> str:
    """A page without what differs between versions of click and Python: breaks of lines and spaces."""
    return " ".join(text.split())


def stale() -> list[str]:
    """Names of the pages that are not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (FOLDER / name).is_file() or plain((FOLDER / name).read_text(encoding="utf-8")) != plain(make())
    ]


def main() -> int:
    """Write the pages, or say whether one is stale."""
    if "--check" in sys.argv[1:]:
        for name in (names := stale()):
            remedy = "write it again with: python docs/reference.py"
            sys.stdout.write(f"docs/reference/{name} is not what the code says; {remedy}\n")
        return int(bool(names))
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
