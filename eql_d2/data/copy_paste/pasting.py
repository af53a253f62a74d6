"""Which instances are pasted on an image, how large and where."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...exceptions import InputError
from ..exposure import CategoriesOfImages
from ..transforms.arguments import check_argument, is_range
from .cutout import Cutout

# A pasted object must be wider and higher, in pixels
_MIN_SIDE = 2


class CopyPaste:
    """Draws what is pasted on an image, all with NumPy's global random numbers.

    Simple copy-paste (arXiv 2012.07177) of rare instances: of those whose category has a repeat
    factor above 1, each is drawn in proportion to that factor, as often as the sampler would show
    it more often; those of factor 1 are never pasted. There is no blending, as in the paper.

    Differences to the paper: the instances are drawn one by one, not a random subset of those of
    one other image; each gets its own size and place, where it is as much within the image as it
    can be; and it is not flipped by itself, only with the image, by the mapper.

    Args:
        prob: probability that something is pasted on an image; 1: on each, as in the paper.
        instances: the most that are pasted on an image; their number is 1 to this, all alike
            likely.
        scale: smallest and largest factor of an instance, after its image is scaled to fit the one
            that it is pasted on; the default is the paper's large scale jittering.
        repeat_threshold: of the repeat factors, as ``DATALOADER.REPEAT_THRESHOLD`` is those of the
            sampler, which may be another one.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        prob: float = 1.0,
        instances: int = 3,
        scale: tuple[float, float] = (0.1, 2.0),
        repeat_threshold: float = 0.001,
    ):
        name = "of CopyPaste (INPUT.COPY_PASTE.{})".format
        fix = "a probability, 0 to 1"
        check_argument(f"prob {name('PROB')}", prob, lambda x: 0 <= x <= 1, fix)
        fix = "a whole number, 1 or more, for example 3"
        check_argument(
            f"instances {name('INSTANCES')}", instances, lambda x: x >= 1 and x == int(x), fix
        )
        fix = "the smallest and the largest factor, above 0, for example (0.1, 2.0)"
        check_argument(f"scale {name('SCALE')}", scale, is_range, fix)
        fix = "a share of the images, 0 to 1, for example 0.001 (LVIS)"
        check_argument(
            f"repeat_threshold {name('REPEAT_THRESHOLD')}",
            repeat_threshold,
            lambda x: 0 <= x <= 1,
            fix,
        )
        self.prob, self.instances, self.scale = prob, int(instances), tuple(scale)
        self.repeat_threshold = repeat_threshold

    def draw_count(self) -> int:
        """How many instances are pasted on an image."""
        if np.random.uniform() >= self.prob:
            return 0
        return np.random.randint(1, self.instances + 1)

    def draw_size(self, cutout: Cutout, fit: float) -> Cutout | None:
        """An instance in the size in which it is pasted; None if it would be a speck.

        Args:
            cutout: as in its own image.
            fit: factor with which that image fits the one that it is pasted on.
        """
        resized = cutout.resize(fit * np.random.uniform(*self.scale))
        return resized if min(resized.mask.shape) > _MIN_SIDE else None

    @staticmethod
    def draw_place(cutout: Cutout, size: tuple[int, int]) -> tuple[int, int]:
        """Where its upper left corner comes to lie, x and y, on an image of a height and width."""
        free = np.array(size[::-1]) - cutout.mask.shape[::-1]
        x, y = np.random.randint(np.minimum(free, 0), np.maximum(free, 0) + 1)
        return int(x), int(y)


class Instances(NamedTuple):
    """Those that are pasted, in the order of the data.

    Attributes:
        image: int64 (N,), index of the record of each.
        annotation: int64 (N,), index of each in it.
        cumulated: float64 (N,), sum of the repeat factors up to each.
    """

    image: np.ndarray
    annotation: np.ndarray
    cumulated: np.ndarray

    @classmethod
    def of(cls, records: Sequence[dict], repeat_threshold: float) -> "Instances":
        """Find those of the categories with a repeat factor above 1, crowd regions left out.

        Raises:
            InputError: there are none.
        """
        classes = [
            annotation["category_id"] for record in records for annotation in record["annotations"]
        ]
        found = CategoriesOfImages(records, 1 + max(classes, default=0))
        factors = found.repeat_factors(repeat_threshold)
        where = [
            (i, k, factors[annotation["category_id"]])
            for i, record in enumerate(records)
            for k, annotation in enumerate(record["annotations"])
            if not annotation.get("iscrowd", 0) and factors[annotation["category_id"]] > 1
        ]
        if not where:
            rarest = np.nanmin(np.where(found.image_count, found.image_count, np.nan))
            raise InputError(
                f"INPUT.COPY_PASTE.REPEAT_THRESHOLD is {repeat_threshold}, but no category of the "
                f"training data is on so small a share of the images (the rarest: "
                f"{rarest / found.num_images:.2g}), so none has a repeat factor above 1: give more"
            )
        image, annotation, weight = np.array(where).T
        return cls(image.astype(np.int64), annotation.astype(np.int64), np.cumsum(weight))

    def draw(self) -> tuple[int, int]:
        """Index of a record, and of an annotation in it."""
        place = np.random.uniform(0, self.cumulated[-1])
        i = min(int(np.searchsorted(self.cumulated, place, side="right")), len(self.image) - 1)
        return int(self.image[i]), int(self.annotation[i])
