"""The click group behind every command: commands are imported by name, usage errors become GpuprobeErrors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from gpuprobe import __version__
from gpuprobe.cli import COMMANDS, config, overview
from gpuprobe.errors import Exit, GpuprobeError


class CommandTable(click.Group):
    """The commands of COMMANDS. A command module holds a click command named ``command``.

    What a command's function returns is the exit code; None means done.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command = import_module(COMMANDS[cmd_name][0]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{COMMANDS[cmd_name][0]}.command is no click command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown name is answered with those that look like it."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(name, COMMANDS, n=2, cutoff=0.5)
            hint = f"did you mean: gpuprobe {' or '.join(near)}" if near else "see: gpuprobe --help"
            raise GpuprobeError(f"there is no command '{name}'", hint)
        return super().resolve_command(ctx, args)

    def get_help(self, ctx: click.Context) -> str:
        """The overview, so that it reads the same with click and without."""
        return overview()


PRINT_CONFIG = "--print-config"

GROUP = CommandTable(
    "gpuprobe",
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "auto_envvar_prefix": config.PREFIX,
    },
    params=[],
)
GROUP = click.version_option(__version__, message="gpuprobe %(version)s")(GROUP)


def run(args: Sequence[str]) -> int:
    """Run one command and give its exit code; GpuprobeError for wrong use."""
    if "_GPUPROBE_COMPLETE" in os.environ:  # the shell asks for completions: click's own main answers
        GROUP.main(list(args), prog_name="gpuprobe")
    try:
        if PRINT_CONFIG in args:
            return _print_config([one for one in args if one != PRINT_CONFIG])
        with GROUP.make_context("gpuprobe", list(args), default_map=_defaults(args)) as context:
            code = GROUP.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as stop:
        raise KeyboardInterrupt from stop
    except click.exceptions.NoArgsIsHelpError as error:  # a group without a command: its help, as it is laid out
        print(error.format_message(), file=sys.stderr)
        return int(Exit.WRONG_USE)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "gpuprobe"
        raise GpuprobeError(error.format_message(), f"see: {path} --help") from error
    except click.ClickException as error:
        raise GpuprobeError(error.format_message(), exit_code=Exit.MACHINE_LACKS) from error
    return int(code or 0)


def _defaults(args: Sequence[str]) -> dict[str, Any]:
    """What the settings file says of the command that ``args`` name; the other commands are not imported."""
    file = config.path()
    table = config.read(file) if file else {}
    unknown = next((name for name in table if name not in COMMANDS), None)
    if unknown is not None:
        raise GpuprobeError(f"{file} has a table for '{unknown}', which is no command", "see: gpuprobe --help")
    name = next((one for one in args if not one.startswith("-")), "")
    if name not in table:
        return {}
    command = GROUP.get_command(click.Context(GROUP), name)
    return {name: config.defaults(command, table[name], name)} if command else {}


def _print_config(args: list[str]) -> int:
    """Print every option of the command that ``args`` name with its value and where that comes from; run nothing."""
    context = GROUP.make_context("gpuprobe", args, default_map=_defaults(args), resilient_parsing=True)
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:
            raise GpuprobeError(
                f"--print-config needs a command: {', '.join(context.command.list_commands(context))}",
                f"for example: {context.command_path} {context.command.list_commands(context)[0]} {PRINT_CONFIG}",
            )
        name, command, rest = context.command.resolve_command(context, rest)
        if command is None:
            raise click.UsageError(f"there is no command '{rest[0]}'", context)
        context = command.make_context(name, rest, parent=context, resilient_parsing=True)
    print("\n".join(config.explain(context, config.path())))
    return 0
