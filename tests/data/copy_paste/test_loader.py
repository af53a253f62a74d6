import itertools

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.data import get_detection_dataset_dicts
from detectron2.data import transforms as T
from detectron2.data.samplers import RepeatFactorTrainingSampler
from omegaconf import OmegaConf

from eql_d2.data import (
    CopyPaste,
    DatasetMapper,
    ResumableLoader,
    build_copy_paste_train_loader,
    build_train_loader,
    instantiate_train_loader,
    training_records,
)
from eql_d2.tasks import build_mapper
from tests.data.copy_paste.scenes import draw_records, pasting_of
from tests.data.mosaic.scenes import mapper_of

FACTORS = torch.tensor([2.0, 1.5] + [1.0] * 10)
BATCH, NUM_BATCHES = 3, 8


@pytest.fixture
def build(tmp_path):
    records = draw_records(tmp_path)
    mask = {"use_instance_mask": True, "instance_mask_format": "bitmask"}

    def build(mapper=None, **kwargs):
        return build_copy_paste_train_loader(
            records,
            mapper=mapper or mapper_of([T.RandomFlip()], **mask),
            copy_paste=pasting_of(),
            sampler=RepeatFactorTrainingSampler(FACTORS, seed=5),
            total_batch_size=BATCH,
            **kwargs,
        )

    return build


def take(loader, start=0, seed=5):
    loader.seed, loader.start = seed, start
    return list(itertools.islice(loader, NUM_BATCHES - start))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others):
        for x, y in zip(batch, other, strict=True):
            assert x["image_id"] == y["image_id"] and torch.equal(x["image"], y["image"])
            one, two = x["instances"], y["instances"]
            assert torch.equal(one.gt_boxes.tensor, two.gt_boxes.tensor)
            assert torch.equal(one.gt_masks.tensor, two.gt_masks.tensor)
            assert torch.equal(one.gt_classes, two.gt_classes)


@pytest.mark.parametrize("grouping", [False, True])
def test_batches_are_the_same_with_workers_and_from_any_start(build, grouping):
    whole = take(build(aspect_ratio_grouping=grouping))
    assert_same(take(build(aspect_ratio_grouping=grouping, num_workers=2), 4), whole[4:])
    assert_same(take(build(aspect_ratio_grouping=grouping), 3), whole[3:])
    images = [data["image"] for batch in whole for data in batch]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(images, 2))
    other = take(build(aspect_ratio_grouping=grouping), seed=6)
    assert not torch.equal(other[0][0]["image"], whole[0][0]["image"])


def test_records_mapper_and_factors_are_found(build):
    mapper = mapper_of()
    loader = build(mapper)
    assert isinstance(loader, ResumableLoader)
    data = training_records(loader)
    assert [x["image_id"] for x in data.records] == list(range(12)) and data.mapper is mapper
    assert data.repeat_factors.tolist() == FACTORS.tolist() and data.mosaic is None


def test_yaml_and_lazy_config_build_the_same(registered_cfg):
    cfg = registered_cfg
    cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.REPEAT_THRESHOLD = (
        "RepeatFactorTrainingSampler",
        0.5,
    )
    cfg.INPUT.MASK_FORMAT, cfg.MODEL.MASK_ON = "bitmask", True
    cfg.INPUT.COPY_PASTE.ENABLED, cfg.INPUT.COPY_PASTE.PROB = True, 0.8
    cfg.INPUT.COPY_PASTE.INSTANCES, cfg.INPUT.COPY_PASTE.SCALE = 2, (0.5, 1.5)
    cfg.INPUT.COPY_PASTE.REPEAT_THRESHOLD = 0.9
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = (64,), 100
    cfg.SOLVER.IMS_PER_BATCH = BATCH
    expected = take(build_train_loader(cfg, build_mapper(cfg, is_train=True)))

    root = OmegaConf.create({"dataloader": {}})
    root.dataloader.train = L(build_copy_paste_train_loader)(
        dataset=L(get_detection_dataset_dicts)(names="tiny_train"),
        mapper=L(DatasetMapper)(
            is_train=True,
            augmentations=[
                L(T.ResizeShortestEdge)(
                    short_edge_length=[64], max_size=100, sample_style="choice"
                ),
                L(T.RandomFlip)(horizontal=True),
            ],
            image_format="BGR",
            use_instance_mask=True,
            instance_mask_format="bitmask",
        ),
        sampler=L(RepeatFactorTrainingSampler)(
            repeat_factors=L(RepeatFactorTrainingSampler.repeat_factors_from_category_frequency)(
                dataset_dicts="${dataloader.train.dataset}", repeat_thresh=0.5
            ),
            seed=cfg.SEED,
        ),
        copy_paste=L(CopyPaste)(prob=0.8, instances=2, scale=(0.5, 1.5), repeat_threshold=0.9),
        total_batch_size=BATCH,
    )
    assert_same(take(instantiate_train_loader(root.dataloader.train)), expected)
