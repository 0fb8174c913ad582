"""The click group behind every command: commands are imported by name, usage errors become GpuprobeErrors."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module

import click

from gpuprobe import __version__
from gpuprobe.cli import COMMANDS, overview
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


GROUP = CommandTable(
    "gpuprobe",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[],
)
GROUP = click.version_option(__version__, message="gpuprobe %(version)s")(GROUP)


def run(args: Sequence[str]) -> int:
    """Run one command and give its exit code; GpuprobeError for wrong use."""
    if "_GPUPROBE_COMPLETE" in os.environ:  # the shell asks for completions: click's own main answers
        GROUP.main(list(args), prog_name="gpuprobe")
    try:
        with GROUP.make_context("gpuprobe", list(args)) as context:
            code = GROUP.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.Abort as stop:
        raise KeyboardInterrupt from stop
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "gpuprobe"
        raise GpuprobeError(error.format_message(), f"see: {path} --help") from error
    except click.ClickException as error:
        raise GpuprobeError(error.format_message(), exit_code=Exit.MACHINE_LACKS) from error
    return int(code or 0)
