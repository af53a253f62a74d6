import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data import (
    get_image_frequency,
    register_json_instances,
)
from tests.conftest import make_annotations
from tests.data.counts import image_count

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def write(folder, **changes):
    """Write the annotations with some lists replaced; returns the arguments to register them."""
    annotations = {**make_annotations(folder), **changes}
    (folder / "data.json").write_text(json.dumps(annotations))
    return "own", str(folder / "data.json"), str(folder)


def test_lvis_format_is_registered_with_counts_and_any_category_ids(tmp_path):
    register_json_instances(*write(tmp_path))
    metadata = MetadataCatalog.get("own")
    assert metadata.evaluator_type == "lvis"
    assert metadata.thing_classes == [f"class{k}" for k in range(5)]
    assert metadata.thing_dataset_id_to_contiguous_id == {10: 0, 20: 1, 30: 2, 40: 3, 50: 4}
    assert image_count("own").tolist() == [8, 4, 2, 2, 1]
    torch.testing.assert_close(
        get_image_frequency(["own"]), torch.tensor([8, 4, 2, 2, 1]).double() / 8
    )
    records = DatasetCatalog.get("own")
    assert [record["image_id"] for record in records] == list(range(1, 9))
    assert {a["category_id"] for r in records for a in r["annotations"]} == set(range(5))


def test_coco_format_is_evaluated_as_coco_and_crowds_do_not_count(tmp_path):
    data = make_annotations(tmp_path, federated=False)
    data["annotations"][0]["iscrowd"] = 1
    register_json_instances(*write(tmp_path, **data))
    assert MetadataCatalog.get("own").evaluator_type == "coco"
    assert image_count("own").tolist() == [7, 4, 2, 2, 1]


def test_lvis_images_are_found_by_their_url(tmp_path):
    data = make_annotations(tmp_path)
    for image in data["images"]:
        image["coco_url"] = f"http://images/{tmp_path.name}/{image.pop('file_name')}"
    name, json_file, _ = write(tmp_path, **data)
    register_json_instances(name, json_file, str(tmp_path.parent))
    register_json_instances("flat", json_file, str(tmp_path))
    for dataset in ("own", "flat"):
        assert DatasetCatalog.get(dataset)[0]["file_name"] == str(tmp_path / "1.png")


def test_counts_of_several_data_sets_add_up(tmp_path):
    _, json_file, images = write(tmp_path)
    register_json_instances("a", json_file, images)
    register_json_instances("b", json_file, images)
    assert image_count(["a", "b"]).tolist() == [16, 8, 4, 4, 2]


def test_d_a_url_that_leads_to_a_file_wins_over_the_file_name(tmp_path):
    """LVIS v0.5 has both, and the file names are those of COCO 2014."""
    data = make_annotations(tmp_path)
    for image in data["images"]:
        image["coco_url"] = f"http://images/{tmp_path.name}/{image['file_name']}"
        image["file_name"] = f"COCO_val2014_{image['file_name']}"
    name, json_file, _ = write(tmp_path, **data)
    register_json_instances(name, json_file, str(tmp_path.parent))
    assert DatasetCatalog.get(name)[0]["file_name"] == str(tmp_path / "1.png")
    for image in data["images"]:  # one that leads nowhere does not
        (tmp_path / image["file_name"].split("_")[-1]).rename(tmp_path / image["file_name"])
    register_json_instances("renamed", json_file, str(tmp_path))
    assert DatasetCatalog.get("renamed")[0]["file_name"] == str(tmp_path / "COCO_val2014_1.png")


def broken(key, index, **changes):
    def change(data):
        data[key][index].update(changes)
        return data

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda data: {**data, "categories": []}, "has no categories"),
        (lambda data: {"images": []}, "has no list 'annotations'"),
        (broken("annotations", 3, category_id=7), "annotation 4 has category_id 7, which is not"),
        (broken("annotations", 3, image_id=99), "annotation 4 names image 99"),
        (broken("annotations", 3, bbox=[1, 1, -1, 5]), "bbox .* of negative size: mend"),
        (broken("annotations", 3, bbox=[70, 1, 30, 5]), "outside of its image of 80 x 64"),
        (broken("annotations", 3, bbox=[1, 1, 5]), r"bbox \[1, 1, 5\]: it must be"),
        (broken("annotations", 3, segmentation=[[1, 2, 3, 4]]), "polygon of less than 3 points"),
        (broken("images", 0, file_name="gone.png"), "1 of 8 images are missing.*gone.png"),
    ],
)
def test_wrong_annotations_are_refused_with_one_line(tmp_path, change, message):
    (tmp_path / "data.json").write_text(json.dumps(change(make_annotations(tmp_path))))
    with pytest.raises(InputError, match=message) as error:
        register_json_instances("own", str(tmp_path / "data.json"), str(tmp_path))
    assert "\n" not in str(error.value) and "'own'" in str(error.value)
    assert "own" not in DatasetCatalog.list()


def test_missing_and_cut_off_files_are_refused(tmp_path):
    name, json_file, images = write(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        register_json_instances(name, json_file + "x", images)
    content = (tmp_path / "data.json").read_text()
    (tmp_path / "data.json").write_text(content[: len(content) // 2])
    with pytest.raises(InputError, match="not valid JSON.*cut off"):
        register_json_instances(name, json_file, images)


def test_a_taken_name_is_refused(tmp_path):
    register_json_instances(*write(tmp_path))
    with pytest.raises(InputError, match="'own' is registered already"):
        register_json_instances(*write(tmp_path))
