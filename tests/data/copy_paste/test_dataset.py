import pickle

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper as Detectron2Mapper
from detectron2.data import transforms as T

from eql_d2 import InputError
from eql_d2.data import CategoriesOfImages, CopyPaste
from eql_d2.data.copy_paste.pasting import Instances
from eql_d2.random_numbers import seed_host
from tests.data.copy_paste.scenes import RARE, dataset_of, draw_records, pasting_of
from tests.data.mosaic.scenes import mapper_of
from tests.data.rectangles import COLORS, box_of, pixels_of


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return draw_records(tmp_path_factory.mktemp("scenes"))


def load(dataset, seed, index=0):
    seed_host(seed)
    return dataset.load(0, index)


def test_a_thousand_images_have_no_box_without_its_mask(records, monkeypatch):
    """Each pixel of a mask has the colour of its class, no two masks share one, each box is around
    its mask, and of what has a colour only remnants that are no object any more have no mask."""
    dataset = dataset_of(records, scale=(0.3, 3.0))
    images = {record["file_name"]: dataset.mapper.read(record) for record in records}
    monkeypatch.setattr(dataset.mapper, "read", lambda record: images[record["file_name"]])
    num_pasted = num_cut = num_vanished = num_coloured = num_remnants = 0
    for seed in range(1000):
        index = seed % len(records)
        data = load(dataset, seed, index)
        instances, image = data["instances"], data["image"].permute(1, 2, 0).numpy()
        masks, classes = instances.gt_masks.tensor.numpy(), instances.gt_classes.numpy()
        assert len(masks) == len(instances.gt_boxes) and masks.any(axis=(1, 2)).all()
        assert masks.sum(axis=0).max(initial=0) <= 1
        for mask, box, k in zip(masks, instances.gt_boxes.tensor.numpy(), classes):
            assert pixels_of(image, COLORS[k])[mask].all()
            assert (box == box_of(mask)).all()
        before = [x for x in records[index]["annotations"] if not x["iscrowd"]]
        areas = {x["bbox"][2] * x["bbox"][3] for x in before}
        num_rare = sum(x["category_id"] == RARE for x in before)
        is_rare = classes == RARE
        num_pasted += is_rare.sum() - num_rare
        num_vanished += len(before) - num_rare - (~is_rare).sum()
        num_cut += sum(mask.sum() not in areas for mask in masks[~is_rare])
        coloured = image.max(axis=2) > 150  # crowd regions are darker
        num_coloured += coloured.sum()
        num_remnants += (coloured & ~masks.any(axis=0)).sum()
    assert num_pasted > 1000 and num_cut > 300 and num_vanished > 50
    assert num_remnants < 0.01 * num_coloured


def test_the_image_without_anything_pasted_is_the_mappers(records):
    mapper = mapper_of([T.RandomFlip()], use_instance_mask=True, instance_mask_format="bitmask")
    for index in range(3):
        data = load(dataset_of(records, mapper, prob=0.0), 4, index)
        seed_host(4)
        np.random.uniform()  # whether something is pasted
        alone = mapper(records[index])
        assert torch.equal(data["image"], alone["image"])
        assert torch.equal(data["instances"].gt_masks.tensor, alone["instances"].gt_masks.tensor)


def test_it_is_pasted_with_a_probability_and_up_to_a_number(records):
    pasting = pasting_of(prob=0.3, instances=4)
    np.random.seed(0)
    counts = np.bincount([pasting.draw_count() for _ in range(4000)], minlength=5) / 4000
    np.testing.assert_allclose(counts, [0.7, *[0.075] * 4], atol=0.02)
    assert {pasting_of().draw_count() for _ in range(100)} == {1, 2, 3}


def test_instances_are_drawn_in_proportion_to_the_repeat_factors():
    """Crowd regions and categories of factor 1 never."""
    rng = np.random.default_rng(0)
    shares = (0.9, 0.4, 0.2, 0.1, 0.03)
    records = [
        {
            "annotations": [
                {"category_id": k, "iscrowd": int(k == 2 and i % 2)}
                for k, share in enumerate(shares)
                if rng.uniform() < share
                for _ in range(1 + k % 2)
            ]
        }
        for i in range(1000)
    ]
    instances = Instances.of(records, 0.3)
    factors = CategoriesOfImages(records, 5).repeat_factors(0.3)
    assert factors[1] == 1 < factors[2] < factors[3] < factors[4]
    expected, drawn = np.zeros(5), np.zeros(5)
    for record in records:
        for annotation in record["annotations"]:
            k = annotation["category_id"]
            expected[k] += factors[k] * (k > 1 and not annotation["iscrowd"])
    np.random.seed(0)
    for _ in range(5000):
        image, index = instances.draw()
        annotation = records[image]["annotations"][index]
        assert not annotation["iscrowd"]
        drawn[annotation["category_id"]] += 1
    share = expected / expected.sum()
    deviation = np.sqrt(5000 * share * (1 - share))
    assert (np.abs(drawn - 5000 * share) <= 3.5 * deviation).all()


def test_size_and_place_are_within_their_ranges(records):
    """The image of the instance is scaled to fit; a place is as much within the image as it can."""
    dataset = dataset_of(records, scale=(0.5, 4.0), instances=1)
    width, height = records[0]["annotations"][0]["bbox"][2:]
    sides, number = [], 0
    for seed in range(200):
        instances = load(dataset, seed, 1)["instances"]  # 80 x 60, where it is of 60 x 80
        rare = instances[instances.gt_classes == RARE].gt_boxes.tensor
        number += len(rare)
        sides += [(box[2:] - box[:2]).tolist() for box in rare]
    sides = np.array(sides) / (width, height) / 0.75
    assert number == 200 and 0.45 < sides.min() < 0.7 and 3 < sides.max() < 4.1


def test_it_goes_to_workers_that_are_started_anew(records):
    dataset = dataset_of(records)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(load(copy, 4)["image"], load(dataset, 4)["image"])


def test_boxes_alone_are_cut_by_the_masks_of_the_data(records):
    masks = load(dataset_of(records), 7)["instances"]
    boxes = load(dataset_of(records, mapper_of()), 7)["instances"]
    assert not boxes.has("gt_masks")
    assert torch.equal(masks.gt_boxes.tensor, boxes.gt_boxes.tensor)


def without_masks(records):
    del records[1]["annotations"][0]["segmentation"]


def label_maps(records):
    for record in records:
        record["sem_seg_file_name"] = "a.png"


@pytest.mark.parametrize(
    ("spoil", "mapper", "threshold", "expected"),
    [
        (without_masks, {}, 0.1, r"^1 of \d+ instances of the training data have no mask, .*: add"),
        (label_maps, {}, 0.1, "have sem_seg_file_name, which copy-paste does not mix: set INPUT.C"),
        (None, {"use_instance_mask": True}, 0.1, "INPUT.MASK_FORMAT is 'polygon'.* to bitmask"),
        (None, {"use_keypoint": True}, 0.1, "^MODEL.KEYPOINT_ON is True, but copy-paste"),
        (None, {"image_format": "L"}, 0.1, "is 'L': copy-paste mixes 'BGR' or 'RGB'$"),
        (None, {}, 0.01, r"REPEAT_THRESHOLD is 0.01, .* \(the rarest: 0.083\), .*: give more$"),
    ],
)
def test_what_cannot_be_pasted_is_refused_in_one_line(records, spoil, mapper, threshold, expected):
    records = pickle.loads(pickle.dumps(records))
    if spoil:
        spoil(records)
    with pytest.raises(InputError, match=expected) as error:
        dataset_of(records, mapper_of(**mapper), repeat_threshold=threshold)
    assert "\n" not in str(error.value)


def test_other_mappers_are_refused_in_one_line(records):
    theirs = Detectron2Mapper(is_train=True, augmentations=[], image_format="RGB")
    with pytest.raises(InputError, match="^the mapper of copy-paste is of detectron2.*: give one"):
        dataset_of(records, theirs)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("prob", x) for x in (-0.1, 1.1, float("nan"), "a")),
        *(("instances", x) for x in (0, 1.5, -2, None, float("inf"))),
        *(("scale", x) for x in ((0, 1), (2, 1), 1.0)),
        *(("repeat_threshold", x) for x in (-0.1, 1.1, float("nan"))),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(argument, value):
    with pytest.raises(InputError, match=rf"^{argument} of .*PASTE.{argument.upper()}\) is .*give"):
        CopyPaste(**{argument: value})
