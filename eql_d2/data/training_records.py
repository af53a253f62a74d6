"""What a loader of training data loads from, without loading it again."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import DatasetFromList
from detectron2.data.samplers import RepeatFactorTrainingSampler

from .mosaic import MosaicDataset


class TrainingRecords(NamedTuple):
    """Training data of a loader.

    Attributes:
        records: in Detectron2's standard format.
        mapper: called with a copy of each.
        repeat_factors: how often each record occurs in an epoch; None for once each.
        mosaic: what mixes them; None if nothing does.
    """

    records: Sequence[dict]
    mapper: Callable[[dict], dict]
    repeat_factors: np.ndarray | None
    mosaic: MosaicDataset | None = None


def training_records(loader: Iterable) -> TrainingRecords | None:
    """Find the records below a loader of Detectron2 (``build_detection_train_loader``).

    Returns:
        None if the loader is built otherwise.
    """
    mapper = repeat_factors = mosaic = None
    while loader is not None and not isinstance(loader, DatasetFromList):
        sampler = getattr(loader, "sampler", None)
        if isinstance(sampler, RepeatFactorTrainingSampler):
            repeat_factors = (sampler._int_part + sampler._frac_part).numpy()
        # A MapDataset wraps its mapper, so that lambdas can be pickled.
        mapper = getattr(getattr(loader, "_map_func", None), "_obj", mapper)
        if isinstance(loader, MosaicDataset):
            mosaic, mapper = loader, loader.mapper
        loader = getattr(loader, "dataset", getattr(loader, "_dataset", None))
    return None if loader is None else TrainingRecords(loader, mapper, repeat_factors, mosaic)
