"""See the package."""

import json

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances

from eql_d2 import add_eql_config
from eql_d2.data import Limits, category_table, register_json_instances
from eql_d2.data.validation.validate import validate_json
from eql_d2.data.validation.write import write_repaired
from eql_d2.engine import Trainer
from eql_d2.evaluation import build_evaluator
from eql_d2.gradient_record import read_record
from eql_d2.report.profile import profile_data
from tests.conftest import TINY

from .annotation_tools import DIALECTS as TOOLS
from .converters import DIALECTS as CONVERTERS
from .scene import GROUPS, HEIGHT, IMAGE_COUNTS, THRESHOLDS, WIDTH, save_images, things

DIALECTS = TOOLS | CONVERTERS

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def write(dialect, folder):
    """The file of a dialect, as its tool writes it or, where that is refused, mended."""
    content = dialect.write(things(dialect.shift))
    path, images = folder / "export.json", folder / "images"
    save_images(content, images)
    path.write_text(json.dumps(content))
    errors = [error.kind for error in validate_json(str(path), str(images)).errors]
    assert len(errors) == len(dialect.refused), errors
    assert all(part in kind for part, kind in zip(dialect.refused, errors)), errors
    if errors:
        write_repaired(str(path), str(folder / "mended.json"), str(images), Limits())
        path = folder / "mended.json"
    return str(path), str(images)


def check(dialect, path, images):
    findings = validate_json(path, images)
    assert not findings.errors, findings.format()
    kinds = [warning.kind for warning in findings.warnings]
    assert len(kinds) == len(dialect.said), findings.format()
    assert all(part in kind for part, kind in zip(dialect.said, kinds)), kinds


def groups_of(rows):
    return {row["name"]: (row["image_count"], row["group"]) for row in rows}


def train(folder):
    """Two steps on the registered data; the categories of the record of the gradients."""
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_list([word for line in TINY.split("\n") for word in line.split()])
    cfg.MODEL.MASK_ON = False
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(MetadataCatalog.get("own").thing_classes)
    cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = THRESHOLDS
    cfg.INPUT.MIN_SIZE_TRAIN = (HEIGHT,)
    cfg.SOLVER.MAX_ITER = 2
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("own",), ()
    cfg.OUTPUT_DIR = str(folder)
    trainer = Trainer(cfg)
    trainer.train()
    return read_record(folder).categories


def perfect_results(found, folder):
    """Results of detections that are the objects of the scene, told by names."""
    evaluator = build_evaluator("own", str(folder), training_datasets="own")
    classes = MetadataCatalog.get("own").thing_classes
    content = json.loads(open(MetadataCatalog.get("own").json_file).read())
    evaluator.reset()
    for number, image in enumerate(content["images"]):
        own = [thing for thing in found if thing.image == number]
        boxes = torch.tensor([thing.box for thing in own])
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances((HEIGHT, WIDTH), pred_boxes=Boxes(boxes), scores=torch.ones(len(own)))
        instances.pred_classes = torch.tensor([classes.index(thing.name) for thing in own])
        evaluator.process([{"image_id": image["id"]}], [{"instances": instances}])
    return evaluator.evaluate()["bbox"]


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_what_tools_write_is_checked_trained_evaluated_and_grouped(dialect, tmp_path):
    path, images = write(dialect, tmp_path)
    check(dialect, path, images)
    register_json_instances("own", path, images)

    expected = {name: (IMAGE_COUNTS[name], GROUPS[name]) for name in GROUPS}
    expected |= dict.fromkeys(dialect.unseen, (0, "0"))
    assert groups_of(category_table("own", THRESHOLDS).rows()) == expected
    assert groups_of(profile_data(path, THRESHOLDS).categories) == expected
    assert groups_of(train(tmp_path / "output")) == expected

    results = perfect_results(things(dialect.shift), tmp_path / "inference")
    assert results["AP"] == pytest.approx(100, abs=1e-9)
    assert results["APr"] == pytest.approx(100, abs=1e-9)
