import json

from gpuprobe.cli import main
from gpuprobe.probe import discover


def test_a_probe_is_explained_by_its_docstring_its_parameters_and_what_is_published(capsys):
    assert main(["explain", "ffma_latency"]) == 0
    text = capsys.readouterr().out
    probe = next(probe for probe in discover() if probe.name == "ffma_latency")
    assert text.startswith("compute/ffma_latency: latency in cycle, on ")
    assert probe.doc.strip() in text
    assert "CHAIN = " in text
    assert all(value.source in text for value in probe.published)
    assert str(probe.source_path) in text


def test_every_probe_can_be_explained(capsys):
    assert main(["explain", "*", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [document["name"] for document in documents] == [probe.name for probe in discover()]
    assert all(document["text"] and document["kernel"].endswith(".cu") for document in documents)
    assert main(["explain", "*"]) == 0
    assert capsys.readouterr().out.count("\nKernel: ") == len(documents)


def test_an_unknown_probe_is_one_line_with_exit_2(capsys):
    assert main(["explain", "ffma_latancy"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "no probe matches 'ffma_latancy'" in first
    assert "--list" in second


def test_a_name_is_needed(capsys):
    assert main(["explain"]) == 2
    assert "Missing argument" in capsys.readouterr().err
