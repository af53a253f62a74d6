import pickle

import numpy as np
import pytest
import torch
from detectron2.data import DatasetMapper as Detectron2Mapper
from detectron2.data import transforms as T
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import MosaicMixup, RandomHSV, ResizeLongestEdge
from eql_d2.random_numbers import seed_host
from tests.data.mosaic.scenes import dataset_of, draw_records, mapper_of, random_records
from tests.data.rectangles import COLORS, box_of, pixels_of

SIZE = 96
STEPS = (RandomHSV(image_format="RGB"), T.RandomFlip(), ResizeLongestEdge((64, 96, 160)))


@pytest.fixture
def records(tmp_path):
    return draw_records(tmp_path)


def load(dataset, seed, number=0, index=0):
    seed_host(seed)
    return dataset.load(number, index)


def test_rectangles_are_where_the_boxes_say_after_all_steps(records, monkeypatch):
    hsv = RandomHSV((0.0, 0.2, 0.2), "RGB")  # so that colours can be told apart
    mapper = mapper_of([hsv, *STEPS[1:]])
    dataset = dataset_of(records, MosaicMixup(SIZE, scale=(0.4, 1.2)), mapper)
    num_whole = 0
    for seed in range(60):
        monkeypatch.setattr(dataset, "_draw_partner", iter((1, 2, 3, 4)).__next__)
        data = load(dataset, seed)
        image = data["image"].permute(1, 2, 0).numpy()
        side = image.shape[0]
        assert image.shape == (side, side, 3) and side in (64, 96, 160)
        assert image.dtype == np.uint8 and data["instances"].image_size == (side, side)
        for box, k in zip(data["instances"].gt_boxes.tensor, data["instances"].gt_classes):
            pixels = pixels_of(image, COLORS[k])
            if box.min() > 1 and box.max() < side - 1:
                num_whole += 1
                error = np.abs(box_of(pixels) - box.numpy()).max()
                assert error < 1.5 * max(side / SIZE, 1)
    assert num_whole > 60


def test_what_the_mapper_gives_is_detectron2s(records):
    dataset = dataset_of(records, MosaicMixup(SIZE), mapper_of(use_instance_mask=True))
    data = load(dataset, 1)
    assert data["file_name"] == records[0]["file_name"] and data["image_id"] == 0
    assert (data["height"], data["width"]) == data["instances"].image_size == (SIZE, SIZE)
    assert data["image"].shape == (3, SIZE, SIZE) and data["image"].dtype == torch.uint8
    assert "annotations" not in data
    fields = data["instances"].get_fields()
    assert set(fields) == {"gt_boxes", "gt_classes", "gt_masks"}
    assert all(len(field) == len(data["instances"]) for field in fields.values())


def test_the_last_images_are_those_of_the_mapper_alone(records):
    mapper = mapper_of(STEPS)
    dataset = dataset_of(records, MosaicMixup(SIZE), mapper, num_mixed=100)
    for number, is_mixed in ((0, True), (99, True), (100, False), (5000, False)):
        data = load(dataset, 3, number)
        assert (data["height"] == SIZE) is is_mixed
        if not is_mixed:
            seed_host(3)
            alone = mapper(records[0])
            assert torch.equal(data["image"], alone["image"])
            assert data["instances"].gt_boxes.tensor.equal(alone["instances"].gt_boxes.tensor)


def test_specks_are_dropped_with_and_without_mixing(records):
    """Of the plain image: its rectangle has half of each side."""
    for length, number, count in ((2, 1, 0), (3, 1, 1), (1, 0, 0)):
        mapper = mapper_of([ResizeLongestEdge((length,))])
        dataset = dataset_of(records[2:3], MosaicMixup(SIZE), mapper, num_mixed=1)
        assert len(load(dataset, 0, number)["instances"]) == count


def test_images_without_an_object_stay_and_have_none(records):
    dataset = dataset_of(records[4:] * 5, MosaicMixup(SIZE), mapper_of(use_instance_mask=True))
    data = load(dataset, 0)
    assert len(data["instances"]) == 0 and data["instances"].gt_boxes.tensor.shape == (0, 4)
    assert data["instances"].gt_classes.dtype == torch.int64 and data["image"].any()


def test_objects_alone_are_those_of_the_image(records):
    dataset = dataset_of(records, MosaicMixup(SIZE), mapper_of(STEPS))
    for seed in range(30):
        seed_host(seed)
        instances = dataset.draw_objects(seed % 5)
        whole = load(dataset, seed, index=seed % 5)["instances"]
        assert instances.image_size == whole.image_size
        assert torch.equal(instances.gt_boxes.tensor, whole.gt_boxes.tensor)
        assert torch.equal(instances.gt_classes, whole.gt_classes)


def test_objects_alone_need_no_file():
    dataset = dataset_of(random_records(50), MosaicMixup(SIZE), mapper_of(STEPS))
    np.random.seed(0)
    drawn = [dataset.draw_objects(i % 50) for i in range(200)]
    assert sum(map(len, drawn)) > 200
    for instances in drawn:
        boxes, side = instances.gt_boxes.tensor, instances.image_size[0]
        assert (boxes >= 0).all() and (boxes <= side).all()
        assert (boxes[:, 2:] - boxes[:, :2] > 1).all()


@pytest.mark.parametrize("weights", [None, [1.0, 2.5, 1.0, 4.0, 1.5]], ids=["uniform", "factors"])
def test_partners_are_drawn_alike_often_or_by_their_weights(weights):
    records = random_records(5)
    dataset = dataset_of(records, MosaicMixup(SIZE), partner_weights=weights)
    np.random.seed(0)
    counts = np.zeros(5)
    for _ in range(400):
        mixture = dataset._draw(0)
        assert mixture.tiles[0].record["image_id"] == 0
        for tile in mixture.tiles[1:]:
            counts[tile.record["image_id"]] += 1
    share = np.ones(5) / 5 if weights is None else np.array(weights) / 10
    deviation = np.sqrt(1200 * share * (1 - share))
    assert (np.abs(counts - 1200 * share) < 3.5 * deviation).all()


def test_occurrences_are_one_of_the_sampler_and_the_partners():
    records = random_records(4)
    uniform = dataset_of(records, MosaicMixup(SIZE))
    np.testing.assert_allclose(uniform.occurrences(), 5 / 4)
    np.testing.assert_allclose(uniform.occurrences([1, 1, 1, 5]), 1 + np.array([1, 1, 1, 5]) / 8)
    weighted = dataset_of(
        records, MosaicMixup(SIZE, mixup_prob=0.5), partner_weights=torch.tensor([1.0, 1, 1, 5])
    )
    np.testing.assert_allclose(weighted.occurrences(), 0.25 + 3.5 * np.array([1, 1, 1, 5]) / 8)


def test_it_goes_to_workers_that_are_started_anew(records):
    dataset = dataset_of(records, MosaicMixup(SIZE), mapper_of(STEPS))
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(load(copy, 4)["image"], load(dataset, 4)["image"])


def test_records_without_a_size_have_that_of_the_file(records):
    bare = [{k: v for k, v in r.items() if k not in ("height", "width")} for r in records]
    mixed = [load(dataset_of(x, MosaicMixup(SIZE)), 2) for x in (records, bare)]
    assert torch.equal(mixed[0]["image"], mixed[1]["image"])


def damaged(record):
    with open(record["file_name"], "wb") as file:
        file.write(b"no image")


def resized(record):
    Image.new("RGB", (7, 5)).save(record["file_name"])


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [(damaged, "cannot identify"), (resized, "is of 7 x 5 pixels but annotated with 80 x 60")],
)
def test_images_that_cannot_be_used_are_named_in_one_line(records, spoil, expected):
    spoil(records[0])
    dataset = dataset_of(records[:1], MosaicMixup(SIZE))
    with pytest.raises(InputError, match=expected) as error:
        load(dataset, 0)
    assert records[0]["file_name"] in str(error.value) and "\n" not in str(error.value)


def test_images_of_too_many_pixels_are_refused(records):
    dataset = dataset_of(records, MosaicMixup(SIZE), mapper_of(max_image_pixels=1000))
    with pytest.raises(InputError, match="more than 1,000"):
        load(dataset, 0)


def test_other_mappers_and_what_is_not_mixed_are_refused(records):
    theirs = Detectron2Mapper(is_train=True, augmentations=[], image_format="RGB")
    with pytest.raises(InputError, match="give one of eql_d2.data.DatasetMapper"):
        dataset_of(records, MosaicMixup(SIZE), theirs)
    with pytest.raises(InputError, match=r"\(INPUT.FORMAT\) is 'L': a mosaic mixes 'BGR' or 'RGB'"):
        dataset_of(records, MosaicMixup(SIZE), mapper_of(image_format="L"))
    for key in ("sem_seg_file_name", "proposal_boxes"):
        with pytest.raises(InputError, match=f"have {key}, which a mosaic does not mix"):
            dataset_of([{**records[0], key: "x"}], MosaicMixup(SIZE))
