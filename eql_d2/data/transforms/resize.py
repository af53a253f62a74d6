"""Resizing by the longer side."""

from collections.abc import Sequence

import numpy as np
from detectron2.data.transforms import Augmentation, ResizeShortestEdge, ResizeTransform
from PIL import Image

from .arguments import check_argument


class ResizeLongestEdge(Augmentation):
    """Resize an image so that its longer side has one of several lengths, drawn for each image.

    One difference to the official code of YOLOX: where an image becomes smaller Pillow averages,
    OpenCV's bilinear resizing does not.

    Args:
        lengths: in pixels.
        interp: Pillow's method.

    Raises:
        InputError: there is no length, or one is not a whole number above 0.
    """

    def __init__(self, lengths: Sequence[int], interp: int = Image.BILINEAR):
        super().__init__()
        name = "lengths of ResizeLongestEdge (INPUT.LONGEST_EDGE_TRAIN)"
        fix = "one or more whole numbers of pixels, for example (640,)"
        check_argument(name, lengths, _are_lengths, fix)
        lengths = tuple(lengths)
        self._init(locals())

    def get_transform(self, image: np.ndarray) -> ResizeTransform:
        height, width = image.shape[:2]
        length = self.lengths[np.random.randint(len(self.lengths))]
        size = ResizeShortestEdge.get_output_shape(height, width, length, length)
        return ResizeTransform(height, width, *(max(side, 1) for side in size), self.interp)


def _are_lengths(lengths: Sequence[int]) -> bool:
    return len(lengths) > 0 and all(x >= 1 and x == int(x) for x in lengths)
