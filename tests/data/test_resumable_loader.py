import itertools
import random

import numpy as np
import pytest
import torch
from detectron2.config import LazyCall
from detectron2.data import build_detection_train_loader
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from detectron2.utils import comm
from omegaconf import OmegaConf
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, WeightedRandomSampler

from eql_d2 import InputError
from eql_d2.data import instantiate_train_loader, resumable, training_records
from eql_d2.data.build import build_resumable_train_loader

NUM_IMAGES, SEED = 23, 5
FACTORS = torch.tensor([1.0, 1.5, 2.25, 1.0, 3.1] * 4 + [1.0, 1.0, 1.9])
SAMPLERS = {
    "training": lambda: TrainingSampler(NUM_IMAGES, seed=SEED),
    "subset": lambda: RandomSubsetTrainingSampler(
        NUM_IMAGES, 0.7, seed_shuffle=SEED, seed_subset=SEED
    ),
    "repeat factors": lambda: RepeatFactorTrainingSampler(FACTORS, seed=SEED),
}


def images(with_size=True):
    """Every third image is high, the others are wide."""
    found = []
    for i in range(NUM_IMAGES):
        size = {"width": 3, "height": 4} if i % 3 == 0 else {"width": 4, "height": 3}
        found.append({"image_id": i, "file_name": f"{i}.png", **(size if with_size else {})})
    return found


def draw(record):
    """A mapper that draws from each kind of random numbers."""
    drawn = (random.random(), np.random.rand(), torch.rand(1).item())
    return {"width": 0, "height": 0, **record, "drawn": drawn}


def build(sampler, build=build_resumable_train_loader, mapper=draw, **kwargs):
    settings = {"total_batch_size": 4, "aspect_ratio_grouping": True, "num_workers": 0}
    return build(images(), mapper=mapper, sampler=sampler, **{**settings, **kwargs})


def take(loader, count, seed=SEED, start=0):
    loader.seed, loader.start = seed, start
    return list(itertools.islice(loader, count))


def ids(batches):
    return [[record["image_id"] for record in batch] for batch in batches]


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_the_batches_are_detectron2s_without_workers(sampler, grouping):
    theirs = build(sampler(), build_detection_train_loader, aspect_ratio_grouping=grouping)
    ours = build(sampler(), aspect_ratio_grouping=grouping)
    assert ids(take(ours, 40)) == ids(itertools.islice(theirs, 40))


@pytest.mark.parametrize("grouping", [True, False])
@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
def test_it_can_begin_at_any_batch_with_the_same_random_numbers(sampler, grouping):
    whole = take(build(sampler(), aspect_ratio_grouping=grouping), 40)
    for start in (1, 6, 33):
        loader = build(sampler(), aspect_ratio_grouping=grouping)
        assert take(loader, 40 - start, start=start) == whole[start:]
    drawn = [record["drawn"] for batch in whole for record in batch]
    assert len(set(drawn)) == len(drawn)
    assert take(build(sampler(), aspect_ratio_grouping=grouping), 40, seed=6) != whole


@pytest.mark.parametrize("grouping", [True, False])
def test_workers_make_no_difference(grouping):
    sampler = SAMPLERS["repeat factors"]
    alone = build(sampler(), aspect_ratio_grouping=grouping)
    helped = build(sampler(), aspect_ratio_grouping=grouping, num_workers=2)
    assert take(alone, 12, start=3) == take(helped, 12, start=3)


def test_what_is_passed_over_is_not_loaded():
    loaded = []
    loader = build(SAMPLERS["training"](), mapper=lambda record: loaded.append(record) or record)
    take(loader, 1, start=50)
    assert len(loaded) == 4


def test_the_random_numbers_of_the_training_are_left_alone():
    loader = build(SAMPLERS["training"]())

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    take(loader, 3)
    assert states() == before


def test_processes_share_one_order_and_its_random_numbers(monkeypatch):
    """Two processes with half of the batch see what one sees, image by image."""
    kwargs = {"aspect_ratio_grouping": False}
    alone = itertools.chain(*take(build(SAMPLERS["training"](), **kwargs), 10))
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        loader = build_detection_train_loader(
            # Detectron2's still believes in one process: these are the images of each.
            images(),
            mapper=draw,
            sampler=SAMPLERS["training"](),
            total_batch_size=2,
            **kwargs,
        )
        shares.append(list(itertools.chain(*take(resumable(loader), 10))))
    assert [record for pair in zip(*shares) for record in pair] == list(alone)


def test_shapes_that_no_record_has_are_read_from_the_files(tmp_path):
    records = images(with_size=False)
    for record, shaped in zip(records, images()):
        record["file_name"] = str(tmp_path / record["file_name"])
        Image.new("L", (shaped["width"], shaped["height"])).save(record["file_name"])
    loader = build_resumable_train_loader(
        records, mapper=draw, sampler=SAMPLERS["training"](), total_batch_size=4
    )
    assert ids(take(loader, 30)) == ids(take(build(SAMPLERS["training"]()), 30))


def test_an_image_that_the_mapper_leaves_out_is_replaced_the_same_each_time():
    def mapper(record):
        return draw(record) if record["image_id"] % 2 else None

    whole = take(build(SAMPLERS["training"](), mapper=mapper), 20)
    assert all(i % 2 for batch in ids(whole) for i in batch)
    loader = build(SAMPLERS["training"](), mapper=mapper)
    take(loader, 3)  # Detectron2's would remember what failed
    assert take(loader, 13, start=7) == whole[7:]
    with pytest.raises(InputError, match="left out 1000 images one after the other"):
        take(build(SAMPLERS["training"](), mapper=lambda record: None), 1)


@pytest.mark.parametrize(
    "sampler",
    [
        lambda: WeightedRandomSampler([1.0] * 20 + [3.0] * 3, 500),
        lambda: RandomSampler(range(NUM_IMAGES), replacement=True, num_samples=500),
    ],
    ids=["weighted", "random"],
)
def test_samplers_of_pytorch_draw_the_same_seed_again(sampler):
    whole = take(build(sampler()), 60)
    assert take(build(sampler()), 50, start=10) == whole[10:]
    assert ids(take(build(sampler()), 60, seed=6)) != ids(whole)


def test_samplers_of_pytorch_have_another_order_in_each_process(monkeypatch):
    """They know of no other process: with one seed all would train the same images."""
    orders = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        sampler = RandomSampler(range(NUM_IMAGES), replacement=True, num_samples=500)
        orders.append(ids(take(build(sampler), 20)))
    assert orders[0] == orders[2] != orders[1]


def test_a_sampler_that_ends_ends_the_loader():
    def loader(**kwargs):
        return build(RandomSampler(range(NUM_IMAGES)), aspect_ratio_grouping=False, **kwargs)

    assert [len(batch) for batch in take(loader(), 99)] == [4] * 5
    assert [len(batch) for batch in take(loader(drop_last=False), 99, start=4)] == [4, 3]


def test_a_collate_function_gets_the_batches():
    for grouping in (True, False):
        loader = build(SAMPLERS["training"](), collate_fn=tuple, aspect_ratio_grouping=grouping)
        assert [type(batch) for batch in take(loader, 3)] == [tuple] * 3


class Endless(IterableDataset):
    def __iter__(self):
        return itertools.cycle(images())


def test_loaders_that_are_not_detectron2s_are_not_resumable():
    endless = build_detection_train_loader(
        Endless(), mapper=draw, total_batch_size=4, aspect_ratio_grouping=False
    )
    grouped = build_detection_train_loader(Endless(), mapper=draw, total_batch_size=4)
    for loader in ([images()], DataLoader(images()), endless, grouped):
        assert resumable(loader) is None
    assert build_resumable_train_loader(Endless(), mapper=draw, total_batch_size=4) is not None


def test_records_mapper_and_factors_are_found():
    data = training_records(build(SAMPLERS["repeat factors"]()))
    assert data.mapper is draw and list(data.records) == images()
    assert data.repeat_factors.tolist() == FACTORS.tolist()


def test_lazy_config_of_detectron2_makes_a_resumable_loader(tmp_path):
    dataloader = OmegaConf.create({"images": 4})
    dataloader.train = LazyCall(build_detection_train_loader)(
        dataset=LazyCall(images)(),
        sampler=LazyCall(SAMPLERS["training"])(),
        mapper=LazyCall(lambda: draw)(),
        total_batch_size="${..images}",
    )
    expected = ids(take(build(SAMPLERS["training"]()), 10))
    assert ids(take(instantiate_train_loader(dataloader.train), 10)) == expected
    assert dataloader.train._target_ is build_detection_train_loader  # as it was
    dataloader.train._target_ = "detectron2.data.build_detection_train_loader"
    assert ids(take(instantiate_train_loader(dataloader.train), 10)) == expected
    dataloader.train = LazyCall(images)()
    assert instantiate_train_loader(dataloader.train) == images()
