"""What a training would have failed of late is refused at its start, by either kind of config."""

import copy
import json

import pytest
from detectron2.data import DatasetCatalog

from eql_d2 import InputError
from eql_d2.data import (
    ClassificationMapper,
    DatasetMapper,
    Limits,
    SemSegMapper,
    register_json_instances,
)
from eql_d2.data.build import build_resumable_train_loader
from eql_d2.engine import Trainer, get_parser, limits_of, load_lazy
from eql_d2.evaluation import build_evaluator
from eql_d2.model_zoo import get_config_file
from tests.conftest import make_annotations
from tests.fuzz.annotations import predictions, use_annotations

from .damage import DELETE, all_of, broken, rle

LAZY = get_config_file("quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py")


@pytest.fixture
def change(data):
    """Changes ``train.json`` or ``val.json`` of the tiny data."""

    def change(split, edit):
        path = data / f"{split}.json"
        content = json.loads(path.read_text())
        edit(content)
        path.write_text(json.dumps(content))

    return change


def register(cfg):
    for entry in cfg.DATASETS.JSON:
        register_json_instances(*entry)


@pytest.mark.parametrize("split", ["train", "val"])
def test_boxes_for_a_mask_model_name_the_key(tiny_cfg, change, no_datasets_left, split):
    change(split, all_of("annotations", segmentation=DELETE))
    register(tiny_cfg)
    with pytest.raises(InputError, match=f"'tiny_{split}': 17 of 17 .* MODEL.MASK_ON False"):
        Trainer.build_model(tiny_cfg)
    tiny_cfg.MODEL.MASK_ON = False
    Trainer.build_model(tiny_cfg)


def test_run_lengths_name_the_mask_format(tiny_cfg, change, no_datasets_left):
    def encode(content):
        content["annotations"][16]["segmentation"] = rle()

    change("train", encode)
    register(tiny_cfg)
    with pytest.raises(InputError, match="1 instances .* set INPUT.MASK_FORMAT bitmask"):
        Trainer.build_train_loader(tiny_cfg)
    tiny_cfg.INPUT.MASK_FORMAT = "bitmask"
    batch = next(iter(Trainer.build_train_loader(tiny_cfg)))
    assert batch[0]["instances"].gt_masks.tensor.any()


def test_run_lengths_of_crowd_regions_do_not_count(data, no_datasets_left):
    content = make_annotations(data / "train", federated=False)
    content["annotations"][0].update(segmentation=rle(), iscrowd=1)
    (data / "train.json").write_text(json.dumps(content))
    register_json_instances("own", str(data / "train.json"), str(data / "train"))
    settings = {"augmentations": [], "image_format": "BGR", "use_instance_mask": True}
    loader = build_resumable_train_loader(
        DatasetCatalog.get("own"),
        mapper=DatasetMapper(is_train=True, **settings),
        total_batch_size=2,
    )
    assert len(next(iter(loader))) == 2


@pytest.mark.parametrize("federated", [False, True])
def test_absent_fields_do_not_change_an_evaluation(tmp_path, no_datasets_left, federated):
    content = make_annotations(tmp_path, federated=federated)
    # The area of the mask, which the box of the tests has one row and column more than
    for annotation in content["annotations"]:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
        if not federated:
            annotation["iscrowd"] = 0
    absent = copy.deepcopy(content)
    all_of("annotations", area=None, iscrowd=DELETE)(absent)
    results = []
    for name, data in (("whole", content), ("absent", absent)):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        register_json_instances(name, str(path), str(tmp_path))
        evaluator = build_evaluator(name, str(tmp_path / name))
        evaluator.reset()
        for record in DatasetCatalog.get(name):
            evaluator.process([record], [{"instances": predictions(record, with_masks=True)}])
        results.append(evaluator.evaluate())
    assert set(results[0]) == {"bbox", "segm"} and results[0]["bbox"]["AP"] > 50
    assert json.dumps(results[0]) == json.dumps(results[1])


@pytest.mark.parametrize(
    "edit",
    [
        broken("categories", 0, name=7),
        broken("images", 0, license=10**400),
        broken("annotations", 0, note=float("nan")),
        broken("images", 0, source="\ud800"),
    ],
)
def test_what_only_pythons_json_reads_does_not_fail_an_lvis_evaluation(
    tmp_path, no_datasets_left, edit
):
    content = make_annotations(tmp_path)
    edit(content)
    (tmp_path / "data.json").write_text(json.dumps(content))
    use_annotations(str(tmp_path / "data.json"), str(tmp_path))


def test_limits_come_from_either_kind_of_config(tiny_cfg):
    parser = get_parser()
    args = parser.parse_args(["--allow-outside-paths"])
    tiny_cfg.INPUT.MAX_IMAGE_PIXELS = 123
    assert limits_of(tiny_cfg, args) == Limits(123, True)
    lazy = load_lazy(LAZY, [])
    assert limits_of(lazy, parser.parse_args([])) == Limits()
    key = "dataloader.train.mapper.max_image_pixels"
    lazy = load_lazy(LAZY, [f"{key}=99"])
    assert limits_of(lazy, parser.parse_args([])) == Limits(99)
    with pytest.raises(InputError, match="max_image_pixel is unknown"):
        load_lazy(LAZY, [f"{key[:-1]}=99"])


@pytest.mark.parametrize("mapper", [DatasetMapper, SemSegMapper, ClassificationMapper])
def test_mappers_take_the_bound_of_a_yaml_config(tiny_cfg, mapper):
    tiny_cfg.INPUT.MAX_IMAGE_PIXELS = 123
    tiny_cfg.INPUT.FORMAT = "RGB"
    assert mapper(tiny_cfg, is_train=True).max_image_pixels == 123
