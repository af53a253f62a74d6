"""What repeat factor sampling does to each category, from the annotations alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..exceptions import InputError

# Relative width to which a threshold is found.
_PRECISION = 1e-3


class Exposure(NamedTuple):
    """How often the categories are shown with a threshold; float64 (C,) each, nan for a category
    without images.

    An image is repeated by the largest factor of its categories, so a frequent category that shares
    images with a rare one is repeated with it: less is left of what the factors of the categories,
    taken alone, would do.

    Attributes:
        threshold: t.
        repeat_factors: of the categories, :math:`\\max(1, \\sqrt{t / f})`, f the share of the
            images.
        in_a_pass: images with the category that a pass shows, over those that one without
            repetitions shows.
        at_equal_steps: the same among equally many images, as of trainings of equal length.
        lost: how much smaller its share among the pairs of image and category is than if each
            category alone were repeated by its own factor; below 0 where the categories beside it
            repeat it more.
        pass_length: images of a pass over those without repetitions.
        repeated_share: share of the images with a factor above 1.
    """

    threshold: float
    repeat_factors: np.ndarray
    in_a_pass: np.ndarray
    at_equal_steps: np.ndarray
    lost: np.ndarray
    pass_length: float
    repeated_share: float


class CategoriesOfImages:
    """Which categories each image shows, and what repeat factors make of it.

    As Detectron2's ``RepeatFactorTrainingSampler`` in its loader: images with crowd regions alone
    are left out, in others they count.

    Args:
        records: in Detectron2's standard format.
        num_classes: number C of categories.

    Raises:
        InputError: no image is annotated.
    """

    def __init__(self, records: Sequence[dict], num_classes: int):
        categories = [
            np.unique([annotation["category_id"] for annotation in record["annotations"]])
            for record in records
            if any(not annotation.get("iscrowd", 0) for annotation in record["annotations"])
        ]
        if not categories:
            raise InputError("no image is annotated: there is nothing to repeat")
        lengths = np.array([len(found) for found in categories])
        self.num_images = len(lengths)
        self._category = np.concatenate(categories).astype(np.int64)
        self._start = np.cumsum(lengths) - lengths
        self._length = lengths
        self.image_count = np.bincount(self._category, minlength=num_classes)

    def repeat_factors(self, threshold: float) -> np.ndarray:
        """Of the categories, float64 (C,); nan without images.

        Raises:
            InputError: the threshold is not a share of the images.
        """
        if not 0 <= threshold <= 1:
            raise InputError(
                f"the repeat threshold is {threshold}: it is a share of the images, give 0 to 1 "
                "(LVIS: 0.001)"
            )
        share = np.where(self.image_count > 0, self.image_count, np.nan) / self.num_images
        return np.maximum(1, np.sqrt(threshold / share))

    def image_factors(self, threshold: float) -> np.ndarray:
        """Of the images, float64 (N,): the largest of their categories."""
        return np.maximum.reduceat(self.repeat_factors(threshold)[self._category], self._start)

    def exposure(self, threshold: float) -> Exposure:
        """What a threshold does; errors as of :meth:`repeat_factors`."""
        own, of_images = self.repeat_factors(threshold), self.image_factors(threshold)
        of_pairs = np.repeat(of_images, self._length)
        shown = np.bincount(self._category, of_pairs, minlength=len(own))
        with np.errstate(invalid="ignore"):
            in_a_pass = shown / self.image_count
        pass_length = of_images.mean()
        alone = own / (np.nansum(own * self.image_count) / self.image_count.sum())
        return Exposure(
            threshold,
            own,
            in_a_pass,
            in_a_pass / pass_length,
            1 - in_a_pass / of_pairs.mean() / alone,
            float(pass_length),
            float((of_images > 1).mean()),
        )

    def threshold_for(self, exposure: float, categories: np.ndarray) -> float:
        """The smallest threshold that shows the median of some categories so much more often.

        Args:
            exposure: wanted, at equal steps, above 1.
            categories: mask (C,) or indices, of the rare ones for example.

        Raises:
            InputError: no threshold does; the message has the most that one reaches.
        """

        def reached(threshold: float) -> float:
            return float(np.nanmedian(self.exposure(threshold).at_equal_steps[categories]))

        # It rises until all images are repeated, then falls towards 1 and below.
        grid = np.geomspace(1 / self.num_images / 16, 1, 64)
        values = [reached(threshold) for threshold in grid]
        above = np.flatnonzero(np.array(values) >= exposure)
        if not len(above):
            best = int(np.argmax(values))
            raise InputError(
                f"no threshold shows these categories {exposure:g} times as often: the most is "
                f"{values[best]:.3g}, with {grid[best]:.2g}"
            )
        if not above[0]:
            return float(grid[0])
        low, high = grid[above[0] - 1], grid[above[0]]
        while high / low > 1 + _PRECISION:
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if reached(middle) >= exposure else (middle, high)
        return float(high)
