"""docs/model_zoo.md is what its script writes, and a wrong result is refused."""

import copy
import json
import re

import pytest

from docs import model_zoo
from eql_d2 import InputError

CONFIG = "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2"
OURS = {
    "source": {
        "commit": "0123456789" * 4,
        "machine": "8 x A100",
        "command": "./train_net.py --config-file x.yaml",
        "log": "https://example.org/log.txt",
    },
    "metrics": {"segm/AP": 20, "segm/APr": 1.25, "bbox/AP": 21.0},
    "checkpoint": "https://example.org/model_final.pth",
}
THEIRS = {"source": {"url": "https://example.org"}, "metrics": {"segm/AP": 1}, "checkpoint": None}


@pytest.fixture(scope="module")
def known():
    return model_zoo.experiments()


def read(folder, content, known, config=CONFIG):
    path = folder / f"{config}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return model_zoo.read_results(folder, known)


def test_the_page_is_what_the_script_writes_now(known):
    results = model_zoo.read_results(model_zoo.ZOO, known)
    assert model_zoo.PAGE.read_text() == model_zoo.page(known, results), "python docs/model_zoo.py"


def test_every_experiment_is_on_the_page_and_every_link_leads_to_a_file(known):
    text = model_zoo.PAGE.read_text()
    links = re.findall(r"\]\((\.\./[^)]*)\)", text)
    files = [(model_zoo.PAGE.parent / link).resolve() for link in links]
    assert len(known) > 60 and sorted(files) == sorted(known.values())
    folders = {path.parent.name for path in known.values()}
    assert folders == set(model_zoo.SECTIONS)


def test_no_number_lacks_its_source(known):
    results = model_zoo.read_results(model_zoo.ZOO, known)
    assert len(results) >= 20
    for entry in (entry for entries in results.values() for entry in entries):
        assert entry["source"] and entry["metrics"]


def test_a_result_of_ours_stands_beside_the_published_one(known, tmp_path):
    results = read(tmp_path, {"config": CONFIG, "results": [THEIRS, OURS]}, known)
    row = next(
        line for line in model_zoo.page(known, results).splitlines() if f"[{CONFIG[28:]}]" in line
    )
    published, ours, checkpoint = row.split(" | ")[1:]
    assert published == "1.0 ([source](https://example.org))"
    assert ours == "20.0 / 1.25 / – / – / 21.0 ([log](https://example.org/log.txt), 8 x A100)"
    assert checkpoint == "[ours](https://example.org/model_final.pth) |"


def changed(result, path, value):
    result = copy.deepcopy(result)
    *parents, last = path
    target = result
    for key in parents:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return result


@pytest.mark.parametrize(
    "result, path, value, message",
    [
        (OURS, ["source"], None, r"results\[0\] has no 'source': give source, metrics, checkp"),
        (OURS, ["checkpoint"], None, "has no 'checkpoint'"),
        (OURS, ["speed"], 3, "has 'speed': known are source, metrics, checkpoint, convert, note"),
        (OURS, ["source"], "me", "source is 'me': give an object with commit, machine"),
        (OURS, ["source", "log"], None, "source has no 'log': give commit, machine, command, log"),
        (OURS, ["source", "machine"], "", "source.machine is '': give a text"),
        (OURS, ["source", "commit"], "1.0", "commit is '1.0': give its 40 hex digits"),
        (OURS, ["source", "log"], "log.txt", "'log.txt' is no address"),
        (THEIRS, ["source", "log"], "https://x", "source has 'log': known are url"),
        (THEIRS, ["source", "url"], "paper", "'paper' is no address"),
        (OURS, ["checkpoint"], 5, "checkpoint: 5 is no address"),
        (OURS, ["convert"], "mmseg", "convert is 'mmseg': leave it out, or give .* of eql.detec"),
        (THEIRS, ["convert"], "mmdet", "convert is 'mmdet': leave it out, or give a checkpoint"),
        (OURS, ["note"], 5, "note is 5: give a text"),
        (OURS, ["metrics"], {}, "metrics is {}: give numbers by name"),
        (OURS, ["metrics", "segm/AP"], None, "metrics has no segm/AP, give it"),
        (OURS, ["metrics", "AP"], 3, "'AP' is unknown, take the names of evaluation.json"),
        (OURS, ["metrics", "segm/AP"], 100.5, "segm/AP is 100.5, give a number from 0 to 100"),
        (OURS, ["metrics", "segm/AP"], -1, "segm/AP is -1, give"),
        (OURS, ["metrics", "segm/AP"], float("nan"), "segm/AP is nan, give"),
        (OURS, ["metrics", "segm/AP"], "23.7", "segm/AP is '23.7', give"),
        (OURS, ["metrics", "segm/AP"], True, "segm/AP is True, give"),
    ],
)
def test_a_wrong_result_is_refused_in_one_line(known, tmp_path, result, path, value, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, {"config": CONFIG, "results": [changed(result, path, value)]}, known)
    assert "\n" not in str(error.value) and f"{CONFIG}.json" in str(error.value)


@pytest.mark.parametrize(
    "content, message",
    [
        ({"config": "Demo/glyphs_eql", "results": [OURS]}, "'Demo/glyphs_eql' is no experiment"),
        ({"config": ["x"], "results": [OURS]}, r"config \['x'\] is no experiment"),
        ({"config": f"{CONFIG}_rfs", "results": [OURS]}, f"so the file must be {CONFIG}_rfs.json"),
        ({"config": CONFIG, "results": []}, r"results is \[\], give a list of at least one"),
        ({"config": CONFIG}, "has no 'results': give config, results"),
        ([], r"is \[\]: give an object with config, results"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(known, tmp_path, content, message):
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, content, known)
    assert "\n" not in str(error.value)


def test_the_script_writes_nothing_of_a_wrong_result(known, tmp_path, monkeypatch):
    read(tmp_path, {"config": CONFIG, "results": [THEIRS]}, known)
    (tmp_path / f"{CONFIG}.json").write_text("{")
    monkeypatch.setattr(model_zoo, "ZOO", tmp_path)
    monkeypatch.setattr(model_zoo, "PAGE", tmp_path / "model_zoo.md")
    with pytest.raises(SystemExit, match="error: .*eqlv2.json is not valid JSON"):
        model_zoo.main()
    assert not model_zoo.PAGE.exists()
