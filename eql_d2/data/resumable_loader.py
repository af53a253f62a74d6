"""A loader of training data that can begin at any batch without reading an image.

Guards against what an interruption does to Detectron2's loader, which always begins with the first
batch: a resumed training sees its first images again and again, and some rare class never.
"""

import collections
import itertools
import logging
import os
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from detectron2.data import DatasetFromList
from detectron2.data.common import AspectRatioGroupedDataset, ToIterableDataset
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from ..exceptions import InputError
from ..random_numbers import ORDER, random_numbers_given_back, seed_host
from .image_files import read_header
from .numbered_dataset import SeededDataset
from .samplers import fast

logger = logging.getLogger(__name__)

_OPTIONS = (
    *("num_workers", "collate_fn", "worker_init_fn", "pin_memory", "timeout"),
    *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
)
_WIDE, _NOT_WIDE, _UNKNOWN = range(3)


class ResumableLoader:
    """The batches of Detectron2's loader without workers, from any of them on.

    The order is decided from indices, and from the shapes of the images where those of one
    orientation share a batch; to begin in the middle, only indices are gone through. Each image is
    read and augmented under random numbers that are a function of ``seed`` and its place in the
    order. So a batch is the same with any number of workers and however the training came to it.
    Augmentations must draw from the random numbers of Python, NumPy or PyTorch, not from a
    generator of their own.

    Two differences to Detectron2's: orientation is that of the record (of the image file, where the
    record has no size), not that of what the mapper returns; and an image that the mapper leaves
    out is replaced by one drawn from all others.

    Args:
        loader: of ``build_detection_train_loader``; see :func:`resumable`.
        records: what it loads, if at hand: to take their sizes from.

    Attributes:
        loader: as given.
        dataset: records and mapper.
        sampler: of the indices.
        batch_size: images of a batch, in this process.
        seed: of the random numbers of the images, 0 or more.
        start: number of the batch to begin with, counted from 0.
    """

    def __init__(self, loader: Iterable, records: Sequence[dict] | None = None):
        self.loader, self.seed, self.start = loader, 0, 0
        self.batch_size = _grouped(loader).batch_size
        self._is_grouped = isinstance(_grouped(loader), AspectRatioGroupedDataset)
        self._collate_groups = getattr(loader, "_map_func", list)
        self._batches_of = _data_loader(loader)
        self.dataset = self._batches_of.dataset.dataset
        self.sampler = fast(self._batches_of.dataset.sampler)
        self._shapes = bytearray([_UNKNOWN]) * len(self.dataset)
        if self._is_grouped and records is not None:
            self._shapes[:] = bytes(map(_shape, records))

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches()
        self._pass_over(batches)  # none of which is loaded
        if self._is_grouped:  # one image at a time to a worker, as Detectron2 does
            batches = ([place] for batch in batches for place in batch)
        # With a generator of its own it draws nothing from the random numbers of the training.
        loader = DataLoader(
            SeededDataset(self.dataset, self.seed),
            batch_sampler=batches,
            generator=torch.Generator().manual_seed(self.seed),
            **{name: getattr(self._batches_of, name) for name in _OPTIONS},
        )
        loaded = iter(loader)
        if self._is_grouped:
            loaded = map(self._collate_groups, map(list, zip(*[loaded] * self.batch_size)))
        if loader.num_workers:
            yield from loaded
            return
        while True:  # what follows draws as if this process had loaded nothing
            with random_numbers_given_back():
                batch = next(loaded, None)
            if batch is None:
                return
            yield batch

    def describe(self) -> dict[str, Any]:
        """What the order of the data depends on besides seeds, of types that a checkpoint holds."""
        number, records = len(self.dataset), _records(self.dataset)
        names = []
        if isinstance(records, DatasetFromList):
            names = [_name(records[i]) for i in range(0, number, max(1, number // 100))]
        factors = b""
        if isinstance(self.sampler, RepeatFactorTrainingSampler):
            factors = (self.sampler._int_part + self.sampler._frac_part).numpy().tobytes()
        return {
            "processes": comm.get_world_size(),
            "images of a step": self.batch_size * comm.get_world_size(),
            "sampler": type(self.sampler).__name__,
            "grouping by aspect ratio": self._is_grouped,
            "training images": number,
            "checksum of their names": zlib.crc32("\n".join(names).encode()),
            "checksum of their repeat factors": zlib.crc32(factors),
        }

    def _batches(self) -> Iterator[list[tuple[int, int]]]:
        groups = ([], [])
        for place in self._places():
            group = groups[self._shape_of(place[1])] if self._is_grouped else groups[0]
            group.append(place)
            if len(group) == self.batch_size:
                yield group.copy()
                group.clear()
        if groups[0] and not self._batches_of.drop_last:  # of a sampler that ends
            yield groups[0]

    def _places(self) -> Iterator[tuple[int, int]]:
        """Each with its number, which no other process has, and the index of its record."""
        # The indices of one process are every n-th of a common order: so are the numbers.
        numbers = itertools.count(comm.get_rank(), comm.get_world_size())
        indices = iter(self.sampler)
        # Samplers of PyTorch draw a seed when they are asked for the first index.
        with random_numbers_given_back():
            seed_host(self.seed, ORDER, comm.get_rank())
            first = list(itertools.islice(indices, 1))
        return zip(numbers, itertools.chain(first, indices))

    def _pass_over(self, batches: Iterator) -> None:
        if not self.start:
            return
        before = time.perf_counter()
        collections.deque(itertools.islice(batches, self.start), maxlen=0)
        logger.info(
            f"Passed over {self.start} batches of the training data, without reading an image, in "
            f"{time.perf_counter() - before:.1f} s"
        )

    def _shape_of(self, index: int) -> int:
        if self._shapes[index] == _UNKNOWN:
            record = _records(self.dataset)[index]
            shape = _shape(record)
            self._shapes[index] = _shape_of_file(record) if shape == _UNKNOWN else shape
        return self._shapes[index]


def resumable(loader: Iterable, records: Sequence[dict] | None = None) -> ResumableLoader | None:
    """The loader that stands for one of Detectron2's.

    Args:
        loader: of training data.
        records: what it loads, if at hand.

    Returns:
        None if that is not possible: the loader is not of ``build_detection_train_loader``, has no
        sampler, or groups images whose shapes cannot be known without loading them.
    """
    if isinstance(loader, ResumableLoader):
        return loader
    batches = _data_loader(loader)
    if not isinstance(batches, DataLoader) or not isinstance(batches.dataset, ToIterableDataset):
        return None
    is_grouped = batches is not loader
    if is_grouped and not isinstance(_records(batches.dataset.dataset), DatasetFromList):
        return None
    return ResumableLoader(loader, records) if batches.dataset.shard_sampler else None


def _grouped(loader: Iterable) -> Iterable:
    """The loader without the ``MapDataset`` that Detectron2 puts around groups to collate them."""
    return getattr(loader, "_dataset", loader)


def _data_loader(loader: Iterable) -> Iterable:
    loader = _grouped(loader)
    return loader.dataset if isinstance(loader, AspectRatioGroupedDataset) else loader


def _records(dataset: Dataset) -> Dataset:
    return getattr(dataset, "_dataset", dataset)


def _shape(record: dict) -> int:
    if "width" not in record or "height" not in record:
        return _UNKNOWN
    return _WIDE if record["width"] > record["height"] else _NOT_WIDE


def _shape_of_file(record: dict) -> int:
    try:
        header = read_header(record["file_name"])
    except InputError:  # the mapper says so when it is the turn of this image
        return _NOT_WIDE
    return _WIDE if header.width > header.height else _NOT_WIDE


def _name(record: Any) -> str:
    return str(record.get("image_id", os.path.basename(record.get("file_name", ""))))
