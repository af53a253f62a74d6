"""The long tail of a data set: numbers that are known, and Detectron2's repeat factors."""

import json
import sys

import numpy as np
import pytest
from detectron2.data import MetadataCatalog
from detectron2.data.samplers import RepeatFactorTrainingSampler
from PIL import Image

from eql_d2 import InputError
from eql_d2.data.datasets.json_instances import load_json_instances
from eql_d2.report import __main__ as command
from eql_d2.report import regime
from eql_d2.report.profile import gini, profile_data, profile_facts, profile_groups


@pytest.fixture
def json_file(data):
    """That of conftest.py, with one category more that no image has."""
    path = data / "train.json"
    content = json.loads(path.read_text())
    content["categories"].append({"id": 99, "name": "<b>nowhere</b>"})
    path.write_text(json.dumps(content))
    return path


def test_gini_of_known_distributions():
    assert gini([5, 5, 5, 5]) == 0
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)  # 1 - 1 / C
    assert gini([1, 3]) == pytest.approx(0.25)


def test_counts_groups_and_factors(json_file):
    profile = profile_data(json_file, (1, 3), 0.5)
    assert list(profile.table.counts.image_count) == [8, 4, 2, 2, 1, 0]
    assert [category["group"] for category in profile.categories] == list("ffccr0")
    expected = [1, 1, np.sqrt(2), np.sqrt(2), 2, np.nan]
    np.testing.assert_allclose(profile.exposure.repeat_factors, expected)
    facts = dict(profile_facts(profile))
    assert facts["imbalance, most over fewest images"] == "8 (8 to 1)"
    assert facts["categories without images (1)"] == "<b>nowhere</b>"
    assert facts["Gini coefficient of the images"] == f"{gini([8, 4, 2, 2, 1]):.3f}"
    rows = [row[:3] for row in profile_groups(profile)[1]]
    assert [row[:3] for row in rows[:2]] == [
        ["all with an image", "5", "2"],
        ["rare (at most 1 images)", "1", "1"],
    ]
    assert rows[-1] == ["without an image", "1", "0"]


def test_repeat_factors_are_those_of_detectron2(json_file):
    records = load_json_instances("profile_test", str(json_file), "")
    MetadataCatalog.remove("profile_test")
    theirs = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(records, 0.6)
    exposure = profile_data(json_file, repeat_threshold=0.6).exposure
    assert exposure.pass_length == pytest.approx(theirs.mean().item(), rel=1e-6)
    assert set(theirs.numpy()) <= set(np.float32(exposure.repeat_factors))


def test_a_dose_stands_in_for_a_threshold(json_file, tmp_path, monkeypatch, capsys):
    """In words of the tables, and refused in one line where nothing gives it."""
    arguments = ["report", "--data", str(json_file), "--output", str(tmp_path / "page.html")]
    monkeypatch.setattr(sys, "argv", [*arguments, "--thresholds", "1", "3", "--dose", "1.01"])
    command.main()
    text = capsys.readouterr().out
    (rare,) = [line for line in text.splitlines() if line.startswith("| rare")]
    assert rare.split("|")[7].strip() == "1.01" and "lost by sharing images" in text
    for words in (["--dose", "50"], ["--repeat-threshold", "1.5"]):
        monkeypatch.setattr(sys, "argv", [*arguments, *words])
        with pytest.raises(SystemExit) as stop:
            command.main()
        assert stop.value.code.startswith("error: ") and "\n" not in stop.value.code


def test_nothing_is_left_registered(json_file):
    before = set(MetadataCatalog.list())
    profile_data(json_file)
    assert set(MetadataCatalog.list()) == before


def test_a_folder_of_classes(tmp_path):
    for name, number in (("b", 3), ("a", 1)):
        (tmp_path / name).mkdir()
        for index in range(number):
            Image.new("L", (4, 4)).save(tmp_path / name / f"{index}.png")
    profile = profile_data(tmp_path)
    assert [(c["name"], c["image_count"]) for c in profile.categories] == [("a", 1), ("b", 3)]


def test_the_command_prints_tables_and_writes_the_page(json_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report", "--data", str(json_file), "--thresholds", "1", "3"])
    command.main()
    *text, path = capsys.readouterr().out.splitlines()
    assert any(line.startswith("| rare (at most 1 images)") for line in text)
    assert path == "output/profile/train/report.html"
    page = (tmp_path / path).read_text()
    assert "&lt;b&gt;nowhere&lt;/b&gt;" in page and "<b>" not in page.replace("<body>", "")
    assert (tmp_path / "output/profile/train/figures/long-tail.png").exists()


@pytest.mark.parametrize("content", ["[1", '{"images": []}', None])
def test_bad_data_are_one_line(content, tmp_path, monkeypatch):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["report", "--data", str(path)])
    with pytest.raises(SystemExit) as stop:
        command.main()
    assert stop.value.code.startswith("error: ") and "\n" not in stop.value.code


def test_data_without_annotations_are_refused(json_file):
    content = json.loads(json_file.read_text())
    json_file.write_text(json.dumps(content | {"annotations": []}))
    with pytest.raises(InputError, match="no annotated image"):
        profile_data(json_file)


CONFIG = "configs/quick_schedules/improved_baseline_R_18_FPN_instant_efl.yaml"


def run_with_config(monkeypatch, tmp_path, json_file, *arguments):
    arguments = ["--data", json_file, "--output", tmp_path / "page.html", *arguments]
    monkeypatch.setattr(sys, "argv", ["report", *map(str, arguments)])
    command.main()


def test_the_ratio_at_the_start_is_predicted_for_a_config(json_file, tmp_path, monkeypatch, capsys):
    run_with_config(monkeypatch, tmp_path, json_file, "--config-file", CONFIG)
    text, page = capsys.readouterr().out, (tmp_path / "page.html").read_text()
    assert "| rare " in text and "With MODEL.EQL.PRIOR_PROB 0." in text
    assert "EFL begins as its baseline" in text and "EFL begins as its baseline" in page
    options = ["--config-file", CONFIG, "--opts", "MODEL.EQL.PRIOR_PROB", "0.4"]
    run_with_config(monkeypatch, tmp_path, json_file, *options)
    text = capsys.readouterr().out
    assert "EFL with prior 0.4" in text and "begins as its baseline" not in text


def test_the_prediction_rounds_repeat_factors_as_the_config_says(json_file, monkeypatch):
    def factors_of(rounding):
        opts = [*options, "DATALOADER.REPEAT_ROUNDING", rounding]
        regime.regime_of_config(profile, CONFIG, opts)
        return seen.pop()

    seen = []
    note = lambda model, data, groups: seen.append(data.repeat_factors)  # noqa: E731
    monkeypatch.setattr(regime, "predict_regime", note)
    options = ["DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler"]
    options += ["DATALOADER.REPEAT_THRESHOLD", "0.6"]
    profile = profile_data(json_file)
    factors = factors_of("stochastic")
    assert (factors % 1 > 0).any() and factors_of("ceil").equal(factors.ceil())


@pytest.mark.parametrize(
    "config, message",
    [
        ("nowhere.yaml", "nowhere.yaml' does not exist"),
        (CONFIG.replace("yaml", "py"), "give its yaml twin"),
        ("configs/Demo/glyphs_eqlv2.yaml", "has GeneralizedRCNN with EQLv2"),
    ],
)
def test_other_configs_are_refused_in_one_line(config, message, json_file, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=message) as stop:
        run_with_config(monkeypatch, tmp_path, json_file, "--config-file", config)
    assert stop.value.code.startswith("error: ") and "\n" not in stop.value.code


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "SEED: !!python/object/apply:os.mkdir [{made}]",
            "line 1: .*os.mkdir': write plain values, no tags",
        ),
        ("MODEL: [", "line 2, column 1: .* this is no YAML"),
        ("SOLVER: {{MAX_ITR: 3}}", "SOLVER.MAX_ITR is unknown: did you mean SOLVER.MAX_ITER"),
        ("MODEL: {{META_ARCHITECTURE: Nothing}}", "the model cannot be built .*: correct MODEL"),
    ],
)
def test_a_config_that_cannot_be_used_is_one_line_and_runs_nothing(
    text, message, json_file, tmp_path, monkeypatch
):
    """The report ran the code in a yaml; the others ended in tracebacks."""
    config, made = tmp_path / "config.yaml", tmp_path / "made"
    config.write_text(text.format(made=made) + "\n")
    with pytest.raises(SystemExit, match=message) as stop:
        run_with_config(monkeypatch, tmp_path, json_file, "--config-file", config)
    assert stop.value.code.startswith("error: ") and "\n" not in stop.value.code
    assert not made.exists()


def test_data_without_boxes_have_no_prediction(tmp_path, monkeypatch):
    (tmp_path / "images/a").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "images/a/0.png")
    with pytest.raises(SystemExit, match="images has no boxes: give annotations"):
        run_with_config(monkeypatch, tmp_path, tmp_path / "images", "--config-file", CONFIG)
