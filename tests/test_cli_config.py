"""gpuprobe.toml: a flag beats a variable, that the file, that the default; what is wrong in it is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuprobe.cli import main

QUERY = ["predict", "gemm", "-n", "4096", "-k", "4096"]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working and a configuration folder without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GPUPROBE_CONFIG", raising=False)


def settings(text: str, path: str = "gpuprobe.toml") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, str]:
    assert main(["--print-config", "predict", "gemm", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    return {line.partition(" = ")[0]: line.partition(" = ")[2] for line in lines}


def test_flag_then_environment_then_file_then_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert printed(capsys)["dtype"] == '"bf16"  # default'
    settings('[predict.gemm]\ndtype = "fp16"\nm = 64\n')
    assert printed(capsys)["dtype"] == '"fp16"  # gpuprobe.toml'
    monkeypatch.setenv("GPUPROBE_PREDICT_GEMM_DTYPE", "fp8")
    assert printed(capsys)["dtype"] == '"fp8"  # environment'
    shown = printed(capsys, "--dtype", "int8")
    assert (shown["dtype"], shown["m"], shown["k"]) == ('"int8"  # flag', "64  # gpuprobe.toml", "(unset)  # default")


def test_the_settings_are_those_that_the_command_runs_with(capsys: pytest.CaptureFixture[str]) -> None:
    settings('[predict.gemm]\ngpu = "l40s"\nm = 64\n')
    assert main(QUERY) == 0
    assert capsys.readouterr().out.startswith("GEMM 64×4096×4096 bf16 tn on l40s")


def test_an_option_may_be_written_with_underscores(capsys: pytest.CaptureFixture[str]) -> None:
    settings("[compare]\nmin_effect = 0.05\n")
    assert main(["compare", "--print-config"]) == 0
    assert "min-effect = 0.05  # gpuprobe.toml" in capsys.readouterr().out


def test_a_table_of_another_command_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    settings('[report]\noutput = "x.html"\n')
    assert printed(capsys)["output"] == "(unset)  # default"


def test_the_users_file_counts_where_the_folder_has_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings('[predict.gemm]\ngpu = "l40s"\n', "home/gpuprobe/gpuprobe.toml")
    assert printed(capsys)["gpu"].startswith('"l40s"')
    settings('[predict.gemm]\ngpu = "h200-sxm"\n')
    assert printed(capsys)["gpu"].startswith('"h200-sxm"')
    settings('[predict.gemm]\ngpu = "h100-sxm"\n', "named.toml")
    monkeypatch.setenv("GPUPROBE_CONFIG", "named.toml")
    assert printed(capsys)["gpu"] == '"h100-sxm"  # named.toml'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[predict.gemm]\ngpux = 1\n", "predict.gemm has no option 'gpux'"),
        ("[predictx]\n", "'predictx', which is no command"),
        ("[predict\n", "cannot read gpuprobe.toml"),
        ("predict = 1\n", "predict is no table of options"),
        ("[predict.gemm]\ngpu = 'l40s'\nm = 'many'\n", "'many' is not a valid integer"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    settings(text)
    assert main([*QUERY]) == 2
    error = capsys.readouterr().err
    assert said in error.splitlines()[0]
    assert "hint: " in error


def test_a_variable_that_names_no_file_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPUPROBE_CONFIG", "gone.toml")
    assert main(QUERY) == 2
    assert "gone.toml, which is no file" in capsys.readouterr().err


def test_print_config_needs_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-config"]) == 2
    assert main(["predict", "--print-config"]) == 2
    assert "gpuprobe predict gemm --print-config" in capsys.readouterr().err
