"""Random changes of colour."""

import functools
from collections.abc import Sequence

import numpy as np
from detectron2.data.transforms import Augmentation, ColorTransform
from PIL import Image

from .arguments import check_argument

# Index of the channels of each format that makes it RGB, and RGB it
_ORDER = {"RGB": slice(None), "BGR": slice(None, None, -1)}


class RandomHSV(Augmentation):
    """Factors for hue, saturation and value of an 8-bit image, each drawn from 1 plus or minus its
    gain.

    As in YOLOX and the YOLOX recipe of EFL, by tables of 256 entries; the hue, on a circle, is
    multiplied too. One difference: the hue has the 255 steps of Pillow's HSV, in OpenCV's 180. Both
    round, so an image does not come back to the last bit where all factors are 1.

    Args:
        gains: of hue, saturation and value; the defaults are those of the recipe.
        image_format: order of the channels, "BGR" or "RGB".

    Raises:
        InputError: a gain is not of 0 to 1, or the format is another one.
    """

    def __init__(
        self, gains: tuple[float, float, float] = (0.015, 0.7, 0.4), image_format: str = "BGR"
    ):
        super().__init__()
        fix = "three gains of 0 to 1, for hue, saturation and value, for example (0.015, 0.7, 0.4)"
        check_argument("gains of RandomHSV (INPUT.HSV)", gains, _are_gains, fix)
        name, fix = "image_format of RandomHSV (INPUT.FORMAT)", "'BGR' or 'RGB'"
        check_argument(name, image_format, _ORDER.__contains__, fix)
        gains = tuple(gains)
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> ColorTransform:
        factors = 1 + np.array(self.gains) * self._rand_range(-1, 1, 3)
        steps = np.arange(256) * factors[:, None]
        # Pillow's circle of hues has 255 steps
        tables = [steps[0] % 255, *steps[1:].clip(max=255)]
        table = np.concatenate(tables).astype(np.uint8).tolist()
        return ColorTransform(functools.partial(_look_up, table, _ORDER[self.image_format]))


def _are_gains(gains: Sequence[float]) -> bool:
    return len(gains) == 3 and all(0 <= gain <= 1 for gain in gains)


def _look_up(table: list[int], order: slice, image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) with its hue, saturation and value looked up in one table after the other."""
    rgb = Image.fromarray(np.ascontiguousarray(image[:, :, order]))
    changed = rgb.convert("HSV").point(table).convert("RGB")
    return np.asarray(changed)[:, :, order]
