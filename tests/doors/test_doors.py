"""See the package."""

import logging
import re

import pytest
from detectron2.engine import train_loop

from eql_d2 import InputError
from eql_d2.engine import train_net

from . import annotation_files, changes, doors, settings

EVERY_INPUT = annotation_files.TAKEN | annotation_files.REFUSED | annotation_files.REFUSED_IMAGES


@pytest.fixture(autouse=True)
def up_to_the_first_step(monkeypatch):
    monkeypatch.setattr(train_loop.TrainerBase, "train", lambda *args: None)
    monkeypatch.setattr(train_net, "start_run", lambda *args: None)
    yield
    doors.forget()


def outcome(door, *args):
    """What a door returns, or the lines that it refuses with: any other end is a traceback."""
    try:
        return door(*args), []
    except InputError as error:
        return None, error.problems
    except SystemExit as end:
        return None, str(end.code).splitlines()
    finally:
        doors.forget()


@pytest.mark.parametrize("door", doors.DATA_DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("name", EVERY_INPUT)
def test_data_are_taken_right_or_refused_by_the_same_line(name, door, tmp_path, caplog, capsys):
    given = EVERY_INPUT[name]
    if door is doors.report and name in annotation_files.REFUSED_IMAGES:
        given = given._replace(refused=None)  # no image is opened
    annotation_files.write(given, tmp_path)
    with caplog.at_level(logging.WARNING):
        counts, lines = outcome(door, tmp_path, len(given.counts))
    said = caplog.text + capsys.readouterr().out
    if given.refused is not None:
        found = lines if door is not doors.validate else [" ".join(said.split())]
        assert any(re.search(given.refused, line) for line in found), (lines, said)
        return
    assert lines == [], lines
    assert counts in (None, given.counts)
    if given.said is not None and door is not doors.report:
        assert re.search(given.said, " ".join(said.split())), said


@pytest.mark.parametrize("name", settings.SETTINGS)
def test_settings_are_refused_by_the_same_line(name, tmp_path):
    given = settings.SETTINGS[name]
    ways = {doors.yaml_config: given.words}
    if given.study:
        ways[doors.study] = given.words
    if given.lazy is not None:
        ways[doors.lazy_config] = given.lazy
    if given.own_trainer:
        ways[doors.default_trainer] = given.words
    for door, words in ways.items():
        folder = tmp_path / door.__name__
        folder.mkdir()
        annotation_files.write(annotation_files.TAKEN["as it is"], folder)
        _, lines = outcome(door, folder, len(changes.CLASSES), *words)
        assert any(re.search(given.refused, line) for line in lines), (door.__name__, lines)


@pytest.mark.parametrize("name", settings.CONFIG_FILES)
def test_config_files_are_refused_by_the_same_line(name, tmp_path):
    given = settings.CONFIG_FILES[name]
    for door in (doors.yaml_config, doors.study, doors.report_with_config):
        folder = tmp_path / door.__name__
        folder.mkdir()
        annotation_files.write(annotation_files.TAKEN["as it is"], folder)
        path = folder / "tiny.yaml"
        path.mkdir() if given.content is None else path.write_bytes(given.content)
        _, lines = outcome(door, folder, len(changes.CLASSES))
        assert any(re.search(given.refused, line) for line in lines), (door.__name__, lines)
        assert len(lines) == 1, lines
