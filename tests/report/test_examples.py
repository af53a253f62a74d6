"""Examples: chosen by the rule that the page states, the same for all tasks."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
import yaml
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from eql_d2.data import register_mask_folder
from eql_d2.evaluation import ClassificationEvaluator, SemSegEvaluator
from eql_d2.report.examples import draw_examples
from eql_d2.report.page import write_report
from eql_d2.report.run import load_run
from tests.data.label_map_folders import CLASSES, make_mask_folder

from .synthetic_runs import make_run

LETTERS = [f"letter {i}" for i in range(12)]


def by_image_count(run):
    """Class indices, rarest first; the first class has no score."""
    counts = [category["image_count"] for category in load_run(run).record.categories]
    return sorted(range(len(counts)), key=lambda index: (counts[index], index))


def titles(examples):
    return [example.title.partition(":")[0] for example in examples]


def picture(panel):
    return Image.open(io.BytesIO(base64.b64decode(panel.address.partition(",")[2])))


def write_detections(run, data):
    """Make `run` one on the data of conftest.py, with detections where the objects are."""
    truth = json.loads((data / "val.json").read_text())
    inference = run / "inference" / "my_val"
    table = json.loads((inference / "per_category_bbox.json").read_text())
    for row, category in zip(table, truth["categories"]):
        row.update(id=category["id"])
    (inference / "per_category_bbox.json").write_text(json.dumps(table))
    keys = ("image_id", "category_id", "bbox")
    rows = [{key: a[key] for key in keys} | {"score": 0.5} for a in truth["annotations"]]
    (inference / "lvis_bbox_results.json").write_text(json.dumps(rows))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["DATASETS"] |= {
        "TEST": ["my_val"],
        "JSON": [["my_val", str(data / "val.json"), str(data / "val")]],
    }
    (run / "config.yaml").write_text(yaml.dump(config))


def classify(run, folder):
    """Leave what the evaluator does of two images of each letter but the first, which are taken
    for the one before them."""
    MetadataCatalog.get("letters").thing_classes = LETTERS
    evaluator = ClassificationEvaluator("letters", str(run / "inference" / "my_val"))
    for label in range(1, 12):
        for copy in "ba":
            path = folder / f"{label:02}{copy}.png"
            Image.new("RGB", (20, 10), (20 * label, 0, 0)).save(path)
            scores = torch.full((12,), 0.01)
            scores[label - 1], scores[label] = 0.5, 0.25
            image = {"label": label, "file_name": str(path)}
            evaluator.process([image], [{"scores": scores}])
    table = (run / "inference/my_val/per_category_classification.json").read_text()
    evaluator.evaluate()
    (run / "inference/my_val/per_category_classification.json").write_text(table)
    MetadataCatalog.remove("letters")


def segment(run, folder, shift):
    """Leave what the evaluator does of predictions that are the truth, moved to the right."""
    if "scenes" not in DatasetCatalog.list():
        register_mask_folder("scenes", *make_mask_folder(folder))
    evaluator = SemSegEvaluator("scenes", str(run / "inference" / "my_val"))
    evaluator.reset()
    for record in DatasetCatalog.get("scenes"):
        labels = np.array(Image.open(record["sem_seg_file_name"])) % 255
        found = torch.nn.functional.one_hot(
            torch.as_tensor(np.roll(labels, shift, axis=1)).long(), len(CLASSES)
        )
        outputs = [{"sem_seg": found.permute(2, 0, 1).float()}]
        evaluator.process([{"file_name": record["file_name"]}], outputs)
    table = (run / "inference/my_val/per_category_sem_seg.json").read_text()
    evaluator.evaluate()
    (run / "inference/my_val/per_category_sem_seg.json").write_text(table)


def test_detections_of_the_rarest_categories(data, tmp_path):
    run = make_run(tmp_path / "run", 5)
    write_detections(run, data)
    page = write_report([run]).read_text()
    assert "What this page cannot show" not in page
    assert page.count("data:image/jpeg") == 8  # truth and prediction of four
    (kind,) = draw_examples([load_run(run)], [])
    assert titles(kind.examples) == [f"category {i}" for i in by_image_count(run)[:4]]
    assert kind.rule in page and "the 4 with the fewest training images" in kind.rule
    assert re.search(r'alt="prediction: AP \S+; .*category \d 50%', page)

    for path in (data / "val").glob("*.png"):
        Image.fromarray(np.zeros((9, 9), np.uint8)).save(path)
    assert "data:image/jpeg" in write_report([run]).read_text()  # strange, but drawn
    for path in (data / "val").glob("*.png"):
        path.unlink()
    page = write_report([run]).read_text()
    assert "There are no examples of detections" in page and "data:image/jpeg" not in page


def test_images_of_a_classification_beside_what_each_run_takes_them_for(tmp_path):
    names = {"names": LETTERS, "task": "classification", "key": "accuracy"}
    runs = [make_run(tmp_path / name, 12, **names) for name in ("a", "b")]
    for run in runs:
        classify(run, tmp_path)
    (kind,) = draw_examples([load_run(run) for run in runs], [])
    expected = [index for index in by_image_count(runs[0]) if index > 0][:8]  # 0 has no image
    assert titles(kind.examples) == [LETTERS[index] for index in expected]
    for index, example in zip(expected, kind.examples):
        image, *lists = example.panels
        pixels = picture(image)
        assert pixels.size == (160, 80) and pixels.getpixel((80, 40)) == (20 * index, 0, 0)
        assert [panel.title.partition(":")[0] for panel in lists] == ["a", "b"]
        for panel in lists:
            guesses = (f"{LETTERS[index - 1]} 50%", False), (f"{LETTERS[index]} 25%", True)
            assert panel.lines[:2] == list(guesses) and len(panel.lines) == 5
    page = write_report(runs).read_text()
    assert page.count("data:image/png") == 5 + 8 and "What this page cannot show" not in page
    assert f"<li><strong>{LETTERS[expected[0]]} 25%</strong></li>" in page and kind.rule in page

    (runs[1] / "inference/my_val/examples_classification.json").unlink()
    page = write_report(runs).read_text()
    assert "There are no examples of classification" in page and "evaluate again" in page


@pytest.mark.usefixtures("no_datasets_left")
def test_label_maps_of_the_truth_and_of_each_run_with_one_legend(tmp_path):
    names = {"names": CLASSES, "task": "sem_seg", "key": "IoU"}
    runs = [make_run(tmp_path / name, 5, **names) for name in ("a", "b")]
    for shift, run in enumerate(runs):
        segment(run, tmp_path / "scenes", 30 * shift)
    (kind,) = draw_examples([load_run(run) for run in runs], [])
    assert titles(kind.examples) == [CLASSES[i] for i in by_image_count(runs[0])[:4]]
    for example in kind.examples:
        legend = {name: color for color, name in example.legend}
        assert len(set(legend.values())) == len(legend)
        assert next(iter(legend)) == example.title.partition(":")[0]
        truth, same, moved = (
            np.array(picture(panel).convert("RGB")) for panel in example.panels[1:]
        )
        labelled = (truth != 255).any(axis=-1)  # the truth has pixels without a label
        assert (truth == same)[labelled].all()
        assert (truth != moved)[labelled].any() or list(legend) == ["sky", "no label"]
        shown = {f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.unique(truth.reshape(-1, 3), axis=0)}
        assert shown <= {color.lower() for color in legend.values()}
        assert "no label" in legend
    page = write_report(runs).read_text()
    assert '<li><span style="background: #D55E00"></span>' in page and kind.rule in page


def test_more_runs_never_make_the_page_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("eql_d2.report.examples.draw._MOST_BYTES", 1000)
    names = {"names": LETTERS, "task": "classification", "key": "accuracy"}
    run = make_run(tmp_path / "run", 12, **names)
    classify(run, tmp_path)
    (kind,) = draw_examples([load_run(run)], [])
    assert 1 <= len(kind.examples) < 8
    assert f"the {len(kind.examples)} with the fewest" in kind.rule
