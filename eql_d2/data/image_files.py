"""Reading images and label maps, with a clear error for those that cannot be used."""

import numpy as np
from detectron2.data import detection_utils
from PIL import Image

from ..exceptions import InputError

# PIL has a SyntaxError for a broken PNG.
_UNREADABLE = (OSError, SyntaxError)


def read_image(path: str, image_format: str, source: str = "") -> np.ndarray:
    """Detectron2's ``read_image``: uint8 (H, W, 3), turned as EXIF says.

    Args:
        path: of the image.
        image_format: order of the channels, "RGB" or "BGR".
        source: where the path comes from, for the message.

    Raises:
        InputError: the image is missing or damaged.
    """
    try:
        return detection_utils.read_image(path, image_format)
    except _UNREADABLE as error:
        raise InputError(
            f"image {path!r}{source} cannot be used ({' '.join(str(error).split())}): replace it "
            "or remove it from the data set"
        ) from error


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
    except _UNREADABLE as error:
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
