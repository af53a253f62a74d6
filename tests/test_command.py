"""The command ``eql-d2`` hands its words to the commands of the modules."""

import importlib
import sys

import pytest

import eql_d2_cli


@pytest.fixture
def call(monkeypatch):
    """Calls the command; returns what it exits with."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["/somewhere/bin/eql-d2", *words])
        with pytest.raises(SystemExit) as exit:
            eql_d2_cli.main()
        return exit.value.code

    return call


@pytest.mark.parametrize("name", eql_d2_cli.COMMANDS)
def test_help_has_the_name_of_the_command(call, capsys, name):
    assert call(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: eql-d2 {name} [-h]")


def test_a_command_reads_the_words_that_follow_it(call, tmp_path, capsys):
    line = call("train", "--config-file", "nowhere.yaml", "SEED", "3")
    assert line == "eql-d2 train: error: config 'nowhere.yaml' does not exist: give --config-file"
    assert call("train", "--machine-rank", "2").startswith("eql-d2 train: error: --machine-rank is")
    assert call("convert", "nowhere.pth", str(tmp_path / "x.pth")).startswith("error: ")
    assert call("validate", "--dataset", "nowhere.json", str(tmp_path)) == 1
    assert "nowhere.json' does not exist" in capsys.readouterr().out
    assert call("study", "nowhere.yaml").startswith("error: study nowhere.yaml cannot be read")
    assert call("report") == 2
    assert "eql-d2 report: error: give one or more OUTPUT_DIR" in capsys.readouterr().err


def test_an_unknown_command_names_those_that_there_are(call, capsys):
    assert call("trian") == 2
    assert "invalid choice: 'trian' (choose from" in capsys.readouterr().err
    assert call() == 2


@pytest.mark.parametrize(
    "error, line",
    [
        (ModuleNotFoundError("No module named 'detectron2'", name="detectron2"), "INSTALL.md"),
        (ModuleNotFoundError("No module named 'cv2'", name="cv2"), "opencv-python-headless"),
        (ImportError("a report needs jinja2: pip install jinja2"), "a report needs jinja2: pip"),
    ],
)
def test_what_is_not_installed_is_one_line(call, monkeypatch, error, line):
    def fail(name):
        raise error

    monkeypatch.setattr(importlib, "import_module", fail)
    printed = call("demo")
    assert printed.startswith(f"eql-d2 demo: error: {error}") and line in printed


def test_a_defect_of_ours_keeps_its_traceback(monkeypatch):
    defect = eql_d2_cli.Command("eql_d2.no_such_module", "")
    monkeypatch.setitem(eql_d2_cli.COMMANDS, "train", defect)
    monkeypatch.setattr(sys, "argv", ["eql-d2", "train"])
    with pytest.raises(ModuleNotFoundError):
        eql_d2_cli.main()
