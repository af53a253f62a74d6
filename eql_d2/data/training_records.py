"""What a loader of training data loads from, without loading it again."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import DatasetFromList
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils import comm

from .copy_paste import CopyPasteDataset
from .mosaic import MosaicDataset


class TrainingRecords(NamedTuple):
    """Training data of a loader.

    Attributes:
        records: in Detectron2's standard format.
        mapper: called with a copy of each.
        repeat_factors: how often each record occurs in an epoch; None for once each.
        mosaic: what mixes them; None if nothing does.
        batch_size: images of a step, in all processes together; None if it is not known.
    """

    records: Sequence[dict]
    mapper: Callable[[dict], dict]
    repeat_factors: np.ndarray | None
    mosaic: MosaicDataset | None = None
    batch_size: int | None = None


def training_records(loader: Iterable) -> TrainingRecords | None:
    """Find the records below a loader of Detectron2 (``build_detection_train_loader``).

    Returns:
        None if the loader is built otherwise.
    """
    mapper = repeat_factors = mosaic = batch_size = None
    while loader is not None and not isinstance(loader, DatasetFromList):
        # The outermost is that of a process: below what groups images a loader has single ones.
        batch_size = batch_size or getattr(loader, "batch_size", None)
        sampler = getattr(loader, "sampler", None)
        if isinstance(sampler, RepeatFactorTrainingSampler):
            repeat_factors = (sampler._int_part + sampler._frac_part).numpy()
        # A MapDataset wraps its mapper, so that lambdas can be pickled.
        mapper = getattr(getattr(loader, "_map_func", None), "_obj", mapper)
        if isinstance(loader, (MosaicDataset, CopyPasteDataset)):
            mapper = loader.mapper
        if isinstance(loader, MosaicDataset):
            mosaic = loader
        loader = getattr(loader, "dataset", getattr(loader, "_dataset", None))
    if loader is None:
        return None
    batch_size = batch_size and batch_size * comm.get_world_size()
    return TrainingRecords(loader, mapper, repeat_factors, mosaic, batch_size)
