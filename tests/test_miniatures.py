"""The miniatures have the layout of the official data: what reads those reads them."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets.builtin import (
    register_all_ade20k,
    register_all_coco,
    register_all_lvis,
)
from detectron2.structures import Boxes, Instances
from PIL import Image

from eql_d2.checkpoint.torchvision_resnet import is_torchvision_resnet
from eql_d2.data import category_table
from eql_d2.data.datasets.builtin import (
    register_builtin_image_lists,
    register_builtin_lvis_tests,
    register_builtin_open_images,
)
from eql_d2.evaluation import build_evaluator
from tests.miniatures import make_miniatures, weights


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("datasets")
    make_miniatures(folder)
    return folder


@pytest.fixture(autouse=True)
def catalogs(root, monkeypatch):
    """Registered as Detectron2 and the project do it at import, but below the miniatures."""
    for catalog in (DatasetCatalog, MetadataCatalog):
        monkeypatch.setattr(catalog, "data", {})
    for register in (
        register_all_coco,
        register_all_lvis,
        register_all_ade20k,
        register_builtin_open_images,
        register_builtin_image_lists,
    ):
        register(str(root))
    register_builtin_lvis_tests()


def images_are_there(records):
    for record in records:
        with Image.open(record["file_name"]) as image:
            assert image.size == (record.get("width", image.width), image.height)
    return len(records)


def test_coco(root):
    for split, size in (("train", 4), ("val", 2)):
        assert images_are_there(DatasetCatalog.get(f"coco_2017_{split}")) == size
        assert len(MetadataCatalog.get(f"coco_2017_{split}").thing_classes) == 80


@pytest.mark.parametrize(
    ("version", "num_classes", "sizes"), [("v1", 1203, (4, 3)), ("v0.5", 1230, (4, 2))]
)
def test_lvis(root, version, num_classes, sizes):
    for split, size in zip(("train", "val"), sizes):
        name = f"lvis_{version}_{split}"
        records = DatasetCatalog.get(name)
        assert images_are_there(records) == size
        assert len(MetadataCatalog.get(name).thing_classes) == num_classes
        data = json.loads((root / f"lvis/{name}.json").read_text())
        categories = {c["id"]: c for c in data["categories"]}
        assert list(categories) == list(range(1, num_classes + 1))
        keys = {"id", "name", "synset", "synonyms", "def", "frequency"}
        for category in categories.values():
            assert set(category) == keys | {"image_count", "instance_count"}
            count = category["image_count"]
            assert category["frequency"] == ("r" if count <= 10 else "c" if count <= 100 else "f")
        for image in data["images"]:
            folder = "val2017" if "val2017" in image["coco_url"] else "train2017"
            file_name = f"{image['id']:012d}.jpg"
            url = f"http://images.cocodataset.org/{folder}/{file_name}"
            assert image["coco_url"] == url and (root / "coco" / folder / file_name).is_file()
            # The names of 2014 lead nowhere; v1 has none.
            old = f"COCO_{folder[:-4]}2014_{file_name}" if version == "v0.5" else None
            assert image.get("file_name") == old
            present = {
                a["category_id"] for a in data["annotations"] if a["image_id"] == image["id"]
            }
            assert {categories[i]["frequency"] for i in present} == set("rcf")
            assert set(image["not_exhaustive_category_ids"]) <= present
            assert image["neg_category_ids"] and not present & set(image["neg_category_ids"])


def test_the_test_data_of_lvis_have_no_annotations_and_are_written(root, tmp_path):
    """A KeyError of Detectron2's loader, and one of its evaluator."""
    data = json.loads((root / "lvis/lvis_v1_val.json").read_text())
    del data["annotations"]
    keys = {"id", "width", "height", "coco_url"}
    data["images"] = [{k: image[k] for k in keys} for image in data["images"]]
    (root / "lvis/lvis_v1_image_info_test_dev.json").write_text(json.dumps(data))
    records = DatasetCatalog.get("lvis_v1_test_dev")
    assert images_are_there(records) == 3 and not any(r["annotations"] for r in records)
    files = {record["file_name"] for record in DatasetCatalog.get("lvis_v1_val")}
    assert {record["file_name"] for record in records} == files
    evaluator = build_evaluator("lvis_v1_test_dev", str(tmp_path), training_datasets="lvis_v1_val")
    evaluator.reset()
    found = Instances((9, 9), scores=torch.ones(1), pred_classes=torch.tensor([1202]))
    found.pred_boxes = Boxes([[1.0, 2.0, 4.0, 4.0]])
    evaluator.process(records[:1], [{"instances": found}])
    assert evaluator.evaluate() == {}
    (written,) = json.loads((tmp_path / "lvis_bbox_results.json").read_text())
    assert written["image_id"] == records[0]["image_id"] and written["category_id"] == 1203


def test_open_images_is_converted_from_the_files_of_the_challenge(root):
    for split, size in (("train", 4), ("val", 2)):
        name = f"openimages_challenge_2019_{split}"
        assert images_are_there(DatasetCatalog.get(name)) == size
        data = json.loads(Path(MetadataCatalog.get(name).json_file).read_text())
        assert len(data["categories"]) == 500 and data["hierarchy"]["2"] == [*range(11, 21)]
        assert Counter(a["is_group_of"] for a in data["annotations"]) == {0: 3 * size, 1: size}
        assert all(image["neg_category_ids"] == [301] for image in data["images"])
    header = "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"
    boxes = root / "openimages/annotations/challenge-2019-train-detection-bbox.csv"
    assert boxes.read_text().splitlines()[0] == header


LISTS = {
    "imagenet_lt_train": r"imagenet/train/(n\d{8})/\1_\d+\.JPEG",
    "imagenet_lt_val": r"imagenet/train/(n\d{8})/\1_\d+\.JPEG",
    "imagenet_lt_test": r"imagenet/val/n\d{8}/ILSVRC2012_val_\d{8}\.JPEG",
    "places_lt_train": r"places365/train/[a-z_]+/\d{8}\.jpg",
    "places_lt_val": r"places365/train/[a-z_]+/\d{8}\.jpg",
    "places_lt_test": r"places365/val/[a-z_]+/Places365_val_\d{8}\.jpg",
    "inaturalist18_train": r"inaturalist18/train_val2018/[A-Z][a-z]+/\d+/[0-9a-f]{32}\.jpg",
    "inaturalist18_val": r"inaturalist18/train_val2018/[A-Z][a-z]+/\d+/[0-9a-f]{32}\.jpg",
    "aaai2023_train": r"aaai2023/data/\d+\.png",
    "aaai2023_val": r"aaai2023/data/\d+\.png",
}


def test_lists_have_the_official_forms_of_paths(root):
    registered = {n for n in DatasetCatalog.list() if MetadataCatalog.get(n).get("list_file")}
    assert set(LISTS) == registered
    for name, form in LISTS.items():
        records = DatasetCatalog.get(name)
        assert images_are_there(records) == (4 if name.endswith("train") else len(records))
        for record in records:
            assert re.fullmatch(form, str(Path(record["file_name"]).relative_to(root)))
        labels = {record["annotations"][0]["category_id"] for record in records}
        if not name.endswith("_val") or name in ("inaturalist18_val", "aaai2023_val"):
            assert len(MetadataCatalog.get(name).thing_classes) - 1 in labels


def test_ade20k_has_the_published_label_maps_and_those_of_detectron2(root):
    for split, folder, size in (("train", "training", 4), ("val", "validation", 2)):
        records = DatasetCatalog.get(f"ade20k_sem_seg_{split}")
        assert images_are_there(records) == size
        for record in records:
            stem = Path(record["file_name"]).stem
            assert re.fullmatch(rf"ADE_{split}_\d{{8}}", stem)
            maps = (
                np.array(Image.open(root / f"ADEChallengeData2016/{kind}/{folder}/{stem}.png"))
                for kind in ("annotations", "annotations_detectron2")
            )
            published, prepared = maps
            assert published.min() == 0 and published.max() == 150
            assert np.array_equal(prepared, np.where(published == 0, 255, published - 1))
    assert category_table("ade20k_sem_seg_train").counts.pixel_count.nonzero()[0].size == 5


def test_weights_have_the_names_of_the_published_files(tmp_path):
    assert not weights.make_weights("model_final.pth", tmp_path)
    assert weights.make_weights("detectron2://ImageNetPretrained/MSRA/R-50.pkl", tmp_path)
    path = tmp_path / "cache/detectron2/ImageNetPretrained/MSRA/R-50.pkl"
    blobs = np.load(path, allow_pickle=True)["blobs"]
    assert {"conv1_w", "res_conv1_bn_s", "res2_0_branch1_bn_b", "res5_2_branch2c_w"} <= set(blobs)
    assert len(blobs) == 3 * 53  # a convolution, a scale and a shift each
    assert is_torchvision_resnet(weights._torchvision(50))
