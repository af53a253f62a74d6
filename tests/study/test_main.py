"""``python -m eql_d2.study`` as users call it."""

import signal

import pytest
import yaml

from eql_d2.study import __main__ as command
from eql_d2.study.plan import make_study

pytestmark = pytest.mark.usefixtures("fake")


@pytest.fixture
def main(content, tmp_path, monkeypatch):
    """Calls the command on the content; returns what it exits with."""

    def call(*options):
        path = tmp_path / "toy.yaml"
        path.write_text(yaml.dump(content))
        monkeypatch.setattr("sys.argv", ["study", str(path), *options])
        with pytest.raises(SystemExit) as exit:
            command.main()
        return exit.value.code

    return call


def test_a_study_prints_its_table_and_files_and_exits_with_0(main, tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert main("--jobs", "3") == 0
    printed = capsys.readouterr().out
    assert "6 of 6 trainings and evaluations to do, 3 at a time" in printed
    assert "| b     |       3 | 7.0 ± 1.0 |" in printed
    names = ["table.md", "table.csv", "runs.csv", "report.html"]
    assert printed.splitlines()[-4:] == [str(tmp_path / "output" / name) for name in names]
    assert signal.getsignal(signal.SIGTERM) is before


def test_where_a_trial_fails_the_table_says_why_and_the_exit_is_1(main, content, capsys):
    content["runs"]["bad"] = {"overrides": {"VIS_PERIOD": 13}}
    assert main() == 1
    printed = capsys.readouterr().out
    assert "- bad/seed1: exit 1: train_net.py: error: 13 is an unlucky number" in printed
    assert "| b     |       3 | 7.0 ± 1.0 |" in printed


def test_help_shows_a_study_that_is_valid(main, tmp_path, capsys, monkeypatch):
    assert main("--help") == 0
    example = capsys.readouterr().out.partition("needed::\n")[2].partition("\nA run with")[0]
    content = yaml.safe_load(example)
    for name in ("train.json", "images"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    study = make_study(content, "name")
    assert study.runs == ("focal", "efl", "all_scores") and len(study.trials) == 9


def test_bad_input_is_one_line(main, content, capsys):
    assert main("--jobs", "0") == 2
    assert "--jobs is 0: give 1 or more" in capsys.readouterr().err
    del content["seeds"]
    message = main()
    assert message.startswith("error: study ") and "seeds is None: give a list" in message
    assert "\n" not in message
