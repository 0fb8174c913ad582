import errno
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gpuprobe import __version__, cli
from gpuprobe.cli import COMMANDS, group, main, output, overview
from gpuprobe.cli.output import Progress, check_output, emit_json, table, write_output
from gpuprobe.errors import Exit, GpuprobeError
from gpuprobe.report.format import quantity

ROOT = Path(__file__).resolve().parent.parent
GPUPROBE = [sys.executable, "-m", "gpuprobe.cli"]


def gpuprobe(*arguments, **options):
    settings = {"cwd": ROOT, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run([*GPUPROBE, *arguments], check=False, **settings)


@pytest.fixture
def command(monkeypatch):
    """Installs a command named ``work`` that calls the function it is given."""

    def install(function):
        module = type(sys)("gpuprobe_work")
        module.command = click.command()(function)
        monkeypatch.setitem(sys.modules, "gpuprobe_work", module)
        monkeypatch.setitem(COMMANDS, "work", ("gpuprobe_work", "Works."))

    return install


def raises(error):
    def function():
        raise error

    return function


# --- the overview -----------------------------------------------------------------------------------------------


def test_the_overview_names_every_command_in_80_columns_or_so():
    text = overview()
    assert [name for name in COMMANDS if f"\n  {name} " not in text] == []
    assert max(map(len, text.splitlines())) <= 100
    assert text.isascii()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_is_the_overview_with_and_without_click(arguments, capsys):
    assert main(arguments) == 0
    assert capsys.readouterr().out == overview() + "\n"
    assert group.run(["--help"]) == 0
    assert capsys.readouterr().out == overview() + "\n"


def test_version(capsys):
    assert main(["--version"]) == 0
    assert group.run(["--version"]) == 0
    assert capsys.readouterr().out == f"gpuprobe {__version__}\n" * 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_is_there_and_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: gpuprobe {name}")


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["docter"], "there is no command 'docter'", "did you mean: gpuprobe doctor"),
        (["xyzzy"], "there is no command 'xyzzy'", "see: gpuprobe --help"),
        (["--nonsense"], "No such option", "see: gpuprobe --help"),
        (["doctor", "--jsno"], "--jsno", "see: gpuprobe doctor --help"),
        (["doctor", "extra"], "unexpected extra argument", "see: gpuprobe doctor --help"),
    ],
)
def test_wrong_use_is_one_line_and_a_hint_with_exit_2(arguments, message, hint):
    done = gpuprobe(*arguments)
    first, second = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, "")
    assert first.startswith("gpuprobe: error: ")
    assert message in first
    assert second == f"  hint: {hint}"


@pytest.mark.parametrize("code", [Exit.CHECK_FAILED, Exit.WRONG_USE, Exit.MACHINE_LACKS, Exit.INTERRUPTED])
def test_an_error_gives_its_own_exit_code_and_stays_on_one_line(command, capsys, code):
    command(raises(GpuprobeError("no such\nthing", "do this", code)))
    assert main(["work"]) == code
    assert capsys.readouterr().err == "gpuprobe: error: no such thing\n  hint: do this\n"


def test_without_a_hint_there_is_one_line(command, capsys):
    command(raises(GpuprobeError("so")))
    assert main(["work"]) == 2
    assert capsys.readouterr().err == "gpuprobe: error: so\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted_is_130(command, capsys, error):
    command(raises(error))
    assert main(["work"]) == 130
    assert capsys.readouterr().err == "gpuprobe: error: interrupted\n"


def test_an_operating_system_error_names_the_file(command, capsys):
    command(raises(OSError(errno.EACCES, "Permission denied", "/etc/shadow")))
    assert main(["work"]) == 3
    assert capsys.readouterr().err.splitlines() == [
        "gpuprobe: error: cannot use /etc/shadow: Permission denied",
        "  hint: check path and free space",
    ]


def test_what_a_command_returns_is_the_exit_code(command):
    command(lambda: Exit.CHECK_FAILED)
    assert main(["work"]) == 1
    command(lambda: None)
    assert main(["work"]) == 0


def test_a_bug_is_not_disguised(command):
    command(raises(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["work"])


# --- broken streams ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"]])
def test_a_full_disk_behind_stdout_is_said(arguments):
    with Path("/dev/full").open("w") as full:
        done = gpuprobe(*arguments, stdout=full)
    assert (done.returncode, done.stderr) == (
        3,
        "gpuprobe: error: cannot use standard output: No space left on device\n  hint: check path and free space\n",
    )


@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"]])
def test_a_reader_that_left_is_no_error_to_report(arguments):
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = gpuprobe(*arguments, stdout=write_end)
    os.close(write_end)
    assert (done.returncode, done.stderr) == (cli.BROKEN_PIPE, "")


def test_closed_streams_are_survived():
    done = subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *GPUPROBE, "docter"], cwd=ROOT, check=False)
    assert done.returncode == 2


def test_an_encoding_without_the_character_is_survived():
    program = "import sys; from gpuprobe import cli; cli.overview = lambda: 'a ± b'; sys.exit(cli.main(['--help']))"
    settings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=settings, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"a ? b\n")


def test_shell_completion_lists_the_commands():
    settings = {**os.environ, "_GPUPROBE_COMPLETE": "bash_complete", "COMP_WORDS": "gpuprobe do", "COMP_CWORD": "1"}
    assert gpuprobe(env=settings).stdout == "plain,doctor\n"


# --- output -----------------------------------------------------------------------------------------------------

ROWS = [("ffma_latency", "4.02"), ("void gemm<[float], 128>", "23")]


def test_json_is_one_line_in_a_pipe_and_never_nan(capsys):
    emit_json({"value": 1.5, "unit": "µs"})
    assert capsys.readouterr().out == '{"value": 1.5, "unit": "\\u00b5s"}\n'
    with pytest.raises(ValueError, match="JSON"):
        emit_json({"value": float("nan")})


def test_a_table_in_a_pipe_is_plain_whole_and_aligned(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    table(("probe", "cycles"), ROWS, "Latency", right={"cycles"})
    assert capsys.readouterr().out.splitlines() == [
        "Latency",
        "probe                    cycles",
        "ffma_latency               4.02",
        "void gemm<[float], 128>      23",
    ]


def test_a_table_without_rows_is_its_heading(capsys):
    table(("probe", "cycles"), [])
    assert capsys.readouterr().out == "probe  cycles\n"


def on_a_terminal(program, **environment):
    """What ``program`` prints on a terminal."""
    settings = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    for name in [name for name, value in settings.items() if value is None]:
        del settings[name]
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, env=settings, stdin=follower, stdout=follower, stderr=follower
    )
    os.close(follower)
    text = b""
    try:
        while chunk := os.read(leader, 4096):
            text += chunk
    except OSError:  # Linux: the last writer closed the terminal
        pass
    os.close(leader)
    assert child.wait() == 0, text
    return text.decode()


TABLE = (
    "from gpuprobe.cli.output import table; "
    "table(('check', 'status'), [('void f<[red]>', 'ok')], styles={'ok': 'green'})"
)


def test_a_table_on_a_terminal_has_colour_and_no_markup():
    text = on_a_terminal(TABLE, NO_COLOR=None)
    assert "void f<[red]>" in text
    assert "\x1b[32m" in text


def test_no_color_is_respected():
    text = on_a_terminal(TABLE, NO_COLOR="1")
    assert "void f<[red]>" in text
    assert "\x1b[32m" not in text


PROGRESS = (
    "from gpuprobe.cli.output import Progress\n"
    "with Progress() as progress: progress.update('one'); progress.line('kept'); progress.update('x' * 500)"
)


def test_progress_on_a_terminal_is_one_line_that_changes():
    text = on_a_terminal(PROGRESS)
    assert text == "".join(
        [
            output.CLEAR_LINE + "one",
            output.CLEAR_LINE + "kept\r\n",
            output.CLEAR_LINE + "one",
            output.CLEAR_LINE + "x" * 79,
            output.CLEAR_LINE,
        ]
    )


def test_progress_in_a_log_is_a_plain_line_now_and_then(capsys):
    now = [0.0]
    with Progress(lambda: now[0]) as progress:
        for second in range(25):
            now[0] = float(second)
            progress.update(f"at {second}")
        progress.line("done")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == ["at 0", "at 10", "at 20", "done"]
    assert captured.out == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("run.xml", "unknown suffix"),
        ("run", "unknown suffix"),
        ("folder.json", "is a folder"),
        ("file/x.csv", "no perm"),
    ],
)
def test_an_output_that_cannot_work_fails_before_any_work(tmp_path, name, message):
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(GpuprobeError, match=message) as raised:
        check_output(tmp_path / name)
    assert raised.value.hint


def test_an_output_is_written_by_its_suffix(tmp_path):
    document = {"schema": 1}
    for name in ("new/a.json", "a.json.gz", "a.csv"):
        write_output(check_output(tmp_path / name), document, ("probe", "cycles"), ROWS)
    assert json.loads((tmp_path / "new/a.json").read_text()) == document
    assert (tmp_path / "a.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "a.csv").read_text() == 'probe,cycles\nffma_latency,4.02\n"void gemm<[float], 128>",23\n'


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3.0123e12, "B/s", "3.012 TB/s"),
        (999.96e9, "FLOP/s", "1 TFLOP/s"),
        (4.0212, "cycle", "4.021 cycles"),
        (1024.0, "FMA/cycle/SM", "1024 FMA/cycle/SM"),
        (2.5e-6, "s", "2.5 µs"),
        (3e-12, "s", "0.003 ns"),
        (0.0, "s", "0 s"),
        (-1500.0, "W", "-1.5 kW"),
    ],
)
def test_a_quantity_is_shown_with_an_si_prefix_where_its_unit_is_si(value, unit, text):
    assert quantity(value, unit) == text
