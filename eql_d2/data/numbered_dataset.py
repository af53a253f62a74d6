"""Images of the training data, each drawn from the place where it stands in the order."""

import random
from typing import Any

from detectron2.data import MapDataset
from torch.utils.data import Dataset

from ..exceptions import InputError
from ..random_numbers import IMAGE, seed_host

_MOST_FAILURES = 1000


class NumberedDataset(Dataset):
    """Training data whose images depend on how far the training is."""

    def load(self, number: int, index: int) -> Any:
        """An image, ready for the model.

        Args:
            number: of images that were loaded before it, in all processes together. Divided by the
                images of a step it is the iteration, if images are not grouped by their shape.
            index: of its record.

        Returns:
            None to leave it out.
        """
        raise NotImplementedError

    def __getitem__(self, index: int) -> Any:
        """As at the start of the training."""
        return self.load(0, index)


class SeededDataset(Dataset):
    """Records and mapper, with the random numbers of the place where an image stands.

    Args:
        dataset: with indices.
        seed: of the training.
    """

    def __init__(self, dataset: Dataset, seed: int):
        self._dataset, self._seed = dataset, seed

    def __getitem__(self, place: tuple[int, int]) -> Any:
        number, index = place
        seed_host(self._seed, IMAGE, number)
        # Detectron2's own would draw what replaces an image by what went before in its process.
        if type(self._dataset) is not MapDataset and not isinstance(self._dataset, NumberedDataset):
            return self._dataset[int(index)]
        for _ in range(_MOST_FAILURES):
            data = self._load(number, int(index))
            if data is not None:
                return data
            index = random.randrange(len(self._dataset))
        raise InputError(
            f"the mapper of the training data left out {_MOST_FAILURES} images one after the other "
            "(it returned None): let it return at least some"
        )

    def _load(self, number: int, index: int) -> Any:
        if isinstance(self._dataset, NumberedDataset):
            return self._dataset.load(number, index)
        return self._dataset._map_func(self._dataset._dataset[index])
