"""The documentation is true: references are fresh, links lead somewhere, and what is marked ``run`` runs, literally.

A fenced block says in its first line what is done with it: ``console run`` (lines after ``$`` are run, every other line
must occur in their output), ``console parse`` (commands that need a GPU or hours: their options must exist), ``python
run``, ``python example`` (must be Python), ``toml write=PATH`` and the like, ``diff apply``; ``text`` is no code. Pages
run in a copy of the checkout, each in its own.
"""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("markdown_it")

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("gpuprobe", "microbench")
LINKED = ("models", "reports", "notebooks")


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site = loaded("build")
PAGES = [page.as_posix() for page in site.pages()]


@cache
def tokens_of(page):
    return site.parser().parse((ROOT / page).read_text(encoding="utf-8"))


def blocks(page):
    """(language, action, text) of the fenced blocks that say what to do with them."""
    for token in tokens_of(page):
        language, _, action = token.info.strip().partition(" ") if token.type == "fence" else ("", "", "")
        if action:
            yield language, action, token.content


RUNNABLE = [page for page in PAGES if any(blocks(page))]


def test_the_references_are_what_the_code_says():
    # A process of its own: click keeps a command's help option as it was first asked for, by whichever test came first.
    command = [sys.executable, ROOT / "docs/reference.py", "--check"]
    check = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, "", "")


def test_every_command_and_public_name_is_in_the_references():
    import gpuprobe
    from gpuprobe.cli import COMMANDS

    commands = (ROOT / "docs/reference/cli.md").read_text(encoding="utf-8")
    names = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    assert not [name for name in COMMANDS if f"## gpuprobe {name}" not in commands]
    assert not [name for name in set(gpuprobe.__all__) - {"__version__"} if name not in names]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    broken = [target for token in site.links(tokens_of(page)) if not exists(page, target := site.target_of(token))]
    assert not broken


def exists(page, target):
    if site.is_external(target):
        return target.startswith(("https://", "http://", "mailto:"))
    path, _, anchor = target.partition("#")
    file = (ROOT / page).parent / path if path else ROOT / page
    return file.exists() and (not anchor or anchor in site.anchors(tokens_of(os.path.relpath(file, ROOT))))


def test_a_link_to_nowhere_is_found():
    assert not exists("README.md", "docs/absent.md")
    assert not exists("docs/index.md", "tutorial.md#absent")
    assert exists("docs/index.md", "tutorial.md#what-a-number-is")


def test_the_site_is_built_with_working_links(tmp_path):
    written = site.build(tmp_path)
    assert len(written) == len(PAGES)
    for page in PAGES:
        text = (tmp_path / page).with_suffix(".html").read_text(encoding="utf-8")
        assert "<main>" in text and "<script" not in text
        assert '.md"' not in text.replace("https://", "")
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "notebooks" / "1_know_your_gpu.ipynb").is_file()


@pytest.fixture
def checkout(tmp_path):
    """A copy of the checkout that a page may change, with a ``gpuprobe`` command of its own."""
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    bin_folder = tmp_path / ".bin"
    bin_folder.mkdir()
    (bin_folder / "gpuprobe").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpuprobe "$@"\n')
    (bin_folder / "gpuprobe").chmod(0o755)
    return tmp_path


def shell(command, checkout, **more):
    environment = {
        **os.environ,
        "PATH": f"{checkout / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
        "GPUPROBE_STATE": str(checkout / ".state"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False, **more)
    return done.returncode, done.stdout + done.stderr


def follow(language, action, text, checkout):
    """Do what a block says; AssertionError where it does not work."""
    kind, _, path = action.partition("=")
    if kind == "write":
        (checkout / path).write_text(text, encoding="utf-8")
    elif kind == "apply":
        code, said = shell(["patch", "-p1", "--no-backup-if-mismatch"], checkout, input=text)
        assert code == 0, said
    elif (language, kind) == ("python", "run"):
        code, said = shell([sys.executable, "-c", text], checkout)
        assert code == 0, said
    elif (language, kind) == ("python", "example"):
        compile(text, "example", "exec")
    elif (language, kind) == ("console", "run"):
        follow_console(text, checkout)
    elif (language, kind) == ("console", "parse"):
        for line in text.splitlines():
            parse(line.removeprefix("$ "))
    else:
        raise AssertionError(f"a block that says '{language} {action}': nothing is known of this")


def follow_console(text, checkout):
    for part in text.split("$ ")[1:]:
        command, *expected = part.splitlines()
        code, said = shell(["bash", "-c", command], checkout)
        assert code == 0, f"{command}\n{said}"
        missing = [line for line in expected if line.strip() and line.strip() not in said]
        assert not missing, f"{command}\nlacks {missing}:\n{said}"


def parse(line):
    """Look a ``gpuprobe`` command line up without running it; AssertionError where command or option is unknown."""
    import click

    from gpuprobe.cli.group import GROUP

    name, *words = shlex.split(line, comments=True)
    assert name == "gpuprobe", line
    command, context = GROUP, click.Context(GROUP)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found)
    try:
        command.make_parser(context).parse_args(words)
    except click.UsageError as error:
        raise AssertionError(f"{line}: {error.format_message()}") from error


GENERATED = (
    "docs/reference/cli.md",
    "docs/reference/api.md",
    "docs/coverage.md",
    "docs/published.md",
    "README.md",
    "CHANGELOG.md",
)


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_every_block_of_code_says_what_is_done_with_it(page):
    unmarked = [token for token in tokens_of(page) if token.type in ("fence", "code_block") and " " not in token.info]
    assert [token.content for token in unmarked if token.info != "text"] == []


def test_every_command_of_the_readme_has_its_options():
    commands = [
        line
        for token in tokens_of("README.md")
        if token.type == "fence"
        for line in token.content.splitlines()
        if line.startswith("gpuprobe ")
    ]
    assert len(commands) > 10
    for line in commands:
        parse(line)


@pytest.mark.parametrize(
    "line", ["gpuprobe no-such", "gpuprobe report --no-such x", "rm -r x", "gpuprobe trace no-such"]
)
def test_a_command_that_does_not_exist_is_found(line):
    with pytest.raises(AssertionError):
        parse(line)


@pytest.mark.parametrize("page", RUNNABLE)
def test_a_page_followed_literally_works(page, checkout):
    for language, action, text in blocks(page):
        follow(language, action, text, checkout)


def test_there_are_pages_to_follow():
    assert len(RUNNABLE) >= 6


@pytest.mark.parametrize(
    ("language", "action", "text"),
    [
        ("console", "run", "$ gpuprobe --version\nanother program 9.9\n"),
        ("console", "run", "$ gpuprobe no-such-command\n"),
        ("python", "run", "import gpuprobe; gpuprobe.absent"),
        ("python", "runs", ""),
    ],
)
def test_a_page_that_does_not_work_fails(checkout, language, action, text):
    with pytest.raises(AssertionError):
        follow(language, action, text, checkout)
