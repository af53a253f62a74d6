"""Reading label maps: images whose pixels are class indices."""

import numpy as np
from PIL import Image

from ..exceptions import InputError


def read_label_map(path: str, num_classes: int, ignore_label: int = 255) -> np.ndarray:
    """Read a label map, checked.

    Args:
        path: an image of one 8-bit channel; palette images are read as indices.
        num_classes: number C of classes: labels are 0..C-1.
        ignore_label: value of pixels without a label.

    Returns:
        uint8 (H, W).

    Raises:
        InputError: the file is missing or damaged, has more than one channel, or a label that is
            not a class.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise InputError(
                    f"label map {path!r} has mode {image.mode!r}: it must be an image of one "
                    "8-bit channel whose pixels are class indices"
                )
            labels = np.array(image)
    except (OSError, SyntaxError) as error:
        raise InputError(
            f"label map {path!r} cannot be read ({' '.join(str(error).split())}): replace it"
        ) from error
    unknown = labels[(labels >= num_classes) & (labels != ignore_label)]
    if unknown.size:
        raise InputError(
            f"label map {path!r} has label {unknown.max()} but there are {num_classes} classes: "
            f"labels are 0 to {num_classes - 1}, or {ignore_label} for pixels to ignore"
        )
    return labels
