import itertools

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.data import get_detection_dataset_dicts
from detectron2.data import transforms as T
from detectron2.data.samplers import RepeatFactorTrainingSampler
from omegaconf import OmegaConf

from eql_d2 import InputError
from eql_d2.data import (
    DatasetMapper,
    MosaicMixup,
    RandomHSV,
    ResizeLongestEdge,
    ResumableLoader,
    build_mosaic_train_loader,
    build_train_loader,
    instantiate_train_loader,
    training_records,
)
from eql_d2.tasks import build_mapper
from tests.data.mosaic.scenes import draw_records, mapper_of

SIZE, BATCH, MAX_ITER, UNTIL = 64, 3, 10, 0.6
FACTORS = torch.tensor([1.0, 1.5, 2.0, 3.0, 1.0])


@pytest.fixture
def records(tmp_path):
    return draw_records(tmp_path)


def build(records, **kwargs):
    settings = {
        "mapper": mapper_of([RandomHSV(), T.RandomFlip(), ResizeLongestEdge((48, 80))]),
        "mosaic": MosaicMixup(SIZE),
        "sampler": RepeatFactorTrainingSampler(FACTORS, seed=5),
        "max_iter": MAX_ITER,
        "until": UNTIL,
        "total_batch_size": BATCH,
    }
    return build_mosaic_train_loader(records, **{**settings, **kwargs})


def take(loader, start=0, stop=MAX_ITER, seed=5):
    loader.seed, loader.start = seed, start
    return list(itertools.islice(loader, stop - start))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for x, y in zip(batch, other, strict=True):
            assert x["image_id"] == y["image_id"] and torch.equal(x["image"], y["image"])
            boxes = x["instances"].gt_boxes.tensor
            assert torch.equal(boxes, y["instances"].gt_boxes.tensor)
            assert torch.equal(x["instances"].gt_classes, y["instances"].gt_classes)


def are_mixed(batches):
    return [[data["height"] == SIZE == data["width"] for data in batch] for batch in batches]


def test_images_are_mixed_up_to_a_share_of_the_iterations(records):
    assert are_mixed(take(build(records))) == [[True] * BATCH] * 6 + [[False] * BATCH] * 4
    assert are_mixed(take(build(records, until=0))) == [[False] * BATCH] * MAX_ITER
    assert are_mixed(take(build(records, until=1))) == [[True] * BATCH] * MAX_ITER


def test_batches_are_the_same_with_workers_and_from_any_start(records):
    """Across the point where mixing ends."""
    whole = take(build(records))
    assert_same(take(build(records, num_workers=2)), whole)
    for start in (3, 5, 6, 8):
        assert_same(take(build(records), start), whole[start:])
    assert_same(take(build(records, num_workers=2), 4), whole[4:])
    images = [data["image"] for batch in whole for data in batch]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(images, 2))
    other = take(build(records), seed=6)
    assert not torch.equal(other[0][0]["image"], whole[0][0]["image"])


def test_two_processes_stop_mixing_after_the_same_iteration(records, monkeypatch):
    for module in ("detectron2.utils.comm", "detectron2.data.build"):
        monkeypatch.setattr(f"{module}.get_world_size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr("detectron2.utils.comm.get_rank", lambda rank=rank: rank)
        batches = take(build(records, total_batch_size=4))
        assert are_mixed(batches) == [[True] * 2] * 6 + [[False] * 2] * 4


def test_images_that_a_mapper_leaves_out_are_replaced(records):
    class Picky(DatasetMapper):
        def __call__(self, dataset_dict):
            return super().__call__(dataset_dict) if dataset_dict["image_id"] % 2 else None

    picky = Picky(is_train=True, augmentations=[], image_format="RGB")
    for batch in take(build(records, mapper=picky, until=0)):
        assert all(data["image_id"] % 2 for data in batch)


def test_records_mapper_factors_and_mosaic_are_found(records):
    mapper = mapper_of()
    for partners in ("uniform", "sampler"):
        loader = build(records, mapper=mapper, partners=partners)
        assert isinstance(loader, ResumableLoader)
        data = training_records(loader)
        assert [x["image_id"] for x in data.records] == list(range(5)) and data.mapper is mapper
        assert data.repeat_factors.tolist() == FACTORS.tolist()
        share = FACTORS.numpy() / 8.5
        others = share if partners == "sampler" else np.full(5, 0.2)
        np.testing.assert_allclose(data.mosaic.occurrences(FACTORS), share + 4 * others)
    assert loader.describe()["training images"] == 5


@pytest.mark.parametrize("argument", [{"until": 1.1}, {"until": "a"}, {"partners": "all"}])
def test_wrong_arguments_are_refused_in_one_line(records, argument):
    (name,) = argument
    with pytest.raises(InputError, match=rf"^{name} of .*INPUT.MOSAIC.{name.upper()}.* give"):
        build(records, **argument)


def with_mosaic(cfg):
    cfg.MODEL.MASK_ON = False
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.REPEAT_THRESHOLD = (
        "RepeatFactorTrainingSampler",
        0.5,
    )
    cfg.INPUT.MOSAIC.ENABLED, cfg.INPUT.MOSAIC.SIZE, cfg.INPUT.MOSAIC.UNTIL = True, SIZE, UNTIL
    cfg.INPUT.MOSAIC.PARTNERS, cfg.INPUT.MOSAIC.MIXUP_SCALE = "sampler", (0.5, 1.5)
    cfg.INPUT.HSV, cfg.INPUT.LONGEST_EDGE_TRAIN = (0.015, 0.7, 0.4), (48, 80)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.IMS_PER_BATCH = MAX_ITER, BATCH
    return cfg


def test_yaml_and_lazy_config_build_the_same(registered_cfg):
    cfg = with_mosaic(registered_cfg)
    expected = take(build_train_loader(cfg, build_mapper(cfg, is_train=True)))
    assert are_mixed(expected) == [[True] * BATCH] * 6 + [[False] * BATCH] * 4

    root = OmegaConf.create({"train": {"max_iter": MAX_ITER}, "dataloader": {}})
    root.dataloader.train = L(build_mosaic_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="tiny_train"),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[
                L(RandomHSV)(),
                L(T.RandomFlip)(horizontal=True),
                L(ResizeLongestEdge)(lengths=(48, 80)),
            ],
            image_format="BGR",
        ),
        sampler=L(RepeatFactorTrainingSampler)(
            repeat_factors=L(RepeatFactorTrainingSampler.repeat_factors_from_category_frequency)(
                dataset_dicts="${dataloader.train.dataset}", repeat_thresh=0.5
            ),
            seed=cfg.SEED,
        ),
        mosaic=L(MosaicMixup)(size=SIZE, mixup_scale=(0.5, 1.5)),
        max_iter="${train.max_iter}",
        until=UNTIL,
        partners="sampler",
        total_batch_size=BATCH,
    )
    assert_same(take(instantiate_train_loader(root.dataloader.train)), expected)


def test_grouping_by_shape_is_refused(registered_cfg):
    cfg = with_mosaic(registered_cfg)
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = True
    with pytest.raises(InputError, match="^DATALOADER.ASPECT_RATIO_GROUPING is True.* False$"):
        build_train_loader(cfg, build_mapper(cfg, is_train=True))
