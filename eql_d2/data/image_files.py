"""Reading images and label maps, with a clear error for those that cannot be used."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import detection_utils
from PIL import Image, ImageFile

from ..exceptions import InputError

# Pillow's own bound, https://pillow.readthedocs.io/en/stable/reference/Image.html
# ("a 24-bit image of a quarter of a gigabyte"), above which it warns of a decompression bomb.
MAX_IMAGE_PIXELS = 1024**3 // 4 // 3
_EXIF_ORIENTATION = 0x0112
# Pillow's conversion to 8 bits clips these at 255, or has none: https://pillow.readthedocs.io/
# en/stable/handbook/concepts.html#modes
_NOT_8_BITS = ("F", "I", "LAB")
# Formats of which Pillow reads the header alone, or that it hands to another program
_NOT_DECODED = ("EPS", "MPEG")


def image_endings() -> frozenset[str]:
    """Endings, ".jpg" and others in lower case, of the files whose pixels Pillow reads."""
    Image.init()
    decoded = {
        name
        for name, (factory, _) in Image.OPEN.items()
        if not (isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile))
    }
    decoded = decoded.difference(_NOT_DECODED) | {"MPO"}  # which is opened as JPEG
    names = Image.registered_extensions()
    return frozenset(ending for ending, name in names.items() if name in decoded)


class ImageHeader(NamedTuple):
    """What the beginning of an image file says.

    Attributes:
        width, height: in pixels, turned as EXIF says if that comes before the pixels; Detectron2
            turns the image in any case.
        mode: Pillow's, for example "RGB".
        has_16_bits: whether the file has more than the 8 bits a channel that are read.
        is_turned: whether EXIF has turned width and height.
    """

    width: int
    height: int
    mode: str
    has_16_bits: bool
    is_turned: bool


def read_header(path: str, what: str = "image", source: str = "") -> ImageHeader:
    """Read the beginning of an image or label map, which takes a fraction of a millisecond.

    Args:
        path: of the file.
        what: it is, for the message.
        source: where the path comes from, for the message.

    Raises:
        InputError: the file is missing or no image.
    """
    with pillow_bound_off(), _one_line(path, what, source), Image.open(path) as image:
        width, height = image.size
        is_turned = what == "image" and _is_turned(image)
        if is_turned:
            width, height = height, width
        # How the decoder is to read the file: "RGB;16B" is its upper 8 bits
        raw = " ".join(str(tile[-1]) for tile in getattr(image, "tile", ()))
        has_16_bits = "16" in image.mode or ";16" in raw
        return ImageHeader(width, height, image.mode, has_16_bits, is_turned)


def check_header(path: str, header: ImageHeader, max_pixels: int, what: str = "image") -> None:
    """Refuse what would fill the memory, and images that Pillow cannot convert to 8 bits.

    Images of 16 or 32 bits a pixel in one channel are refused: Detectron2's ``read_image`` would
    clip all values at 255. Those of 3 channels of 16 bits are read as their upper 8 bits, by Pillow
    and so by Detectron2.

    Raises:
        InputError: the image has more than `max_pixels` pixels, or a mode that is not read.
    """
    width, height, mode = header[:3]
    if width * height > max_pixels:
        raise InputError(
            f"{what} {path!r} has {width} x {height} pixels, more than {max_pixels:,}: make it "
            "smaller, or raise INPUT.MAX_IMAGE_PIXELS (LazyConfig: max_image_pixels of the mapper)"
        )
    if what == "image" and mode.startswith(_NOT_8_BITS):
        raise InputError(
            f"image {path!r} has mode {mode!r}, which is not read in 8 bits: convert it to an "
            "8-bit image with the scale that your values need, or read it in a mapper of your own"
        )


def read_image(
    path: str, image_format: str, source: str = "", max_pixels: int = MAX_IMAGE_PIXELS
) -> np.ndarray:
    """Detectron2's ``read_image``: uint8 (H, W, 3), turned as EXIF says.

    Args:
        path: of the image.
        image_format: order of the channels, "RGB" or "BGR".
        source: where the path comes from, for the message.
        max_pixels: see :func:`check_header`.

    Raises:
        InputError: the image is missing or damaged, or as for :func:`check_header`.
    """
    check_header(path, read_header(path, source=source), max_pixels)
    with pillow_bound_off(), _one_line(path, "image", source):
        return detection_utils.read_image(path, image_format)


def read_label_map(
    path: str,
    num_classes: int,
    ignore_label: int = 255,
    max_pixels: int = MAX_IMAGE_PIXELS,
    label_index: Sequence[int] | None = None,
) -> np.ndarray:
    """Read a label map, checked.

    Args:
        path: an image of one 8-bit channel; palette images are read as indices.
        num_classes: number C of classes: labels are 0..C-1.
        ignore_label: value of pixels without a label.
        max_pixels: see :func:`check_header`.
        label_index: class of each label of the file, where it has another list of classes.

    Returns:
        uint8 (H, W).

    Raises:
        InputError: the file is missing or damaged, has more than one channel, or a label that is
            not a class.
    """
    header = read_header(path, "label map")
    check_header(path, header, max_pixels, "label map")
    if header.mode not in ("L", "P"):
        raise InputError(
            f"label map {path!r} has mode {header.mode!r}: it must be an image of one 8-bit "
            "channel whose pixels are class indices"
        )
    with pillow_bound_off(), _one_line(path, "label map"), Image.open(path) as image:
        labels = np.array(image)
    num_classes = num_classes if label_index is None else len(label_index)
    unknown = labels[(labels >= num_classes) & (labels != ignore_label)]
    if unknown.size:
        raise InputError(
            f"label map {path!r} has label {unknown.max()} but there are {num_classes} classes: "
            f"labels are 0 to {num_classes - 1}, or {ignore_label} for pixels to ignore"
        )
    if label_index is None:
        return labels
    classes = np.full(256, ignore_label, labels.dtype)
    classes[: len(label_index)] = label_index
    return classes[labels]


def other_size(path: str, size: tuple[int, int], annotated: tuple[int, int]) -> str:
    """The line about an image that is not of the annotated size, which says why it may be.

    Args:
        path: of the image.
        size: width and height of the image, as it is read.
        annotated: width and height.
    """
    (width, height), (annotated_width, annotated_height) = size, annotated
    why = "replace it or mend the annotations"
    if (height, width) == annotated:
        why = "width and height are swapped in the annotations: swap them"
        header = read_header(path)
        if header.is_turned or (header.width, header.height) == annotated:  # EXIF behind the pixels
            why = (
                "its EXIF orientation turns it, and the annotations are of the image before: save "
                "it without the orientation, or annotate it as it is shown"
            )
    # The same shape but for the rounding of the shorter side
    elif abs(width * annotated_height - height * annotated_width) <= max(*size, *annotated) / 2:
        why = (
            f"it was resized by {width / annotated_width:.3g}: take the original, or scale the "
            "annotations"
        )
    return (
        f"image {path!r} is of {width} x {height} pixels but annotated with {annotated_width} x "
        f"{annotated_height}: {why}"
    )


def check_label_map_size(path: str, shape: tuple[int, int], image_shape: tuple[int, int]) -> None:
    """Refuse a label map whose (height, width) are not those of its image.

    Raises:
        InputError: they differ.
    """
    if shape != image_shape:
        raise InputError(
            f"label map {path!r} is of {shape[::-1]} pixels but its image of {image_shape[::-1]}: "
            "they must have the same size"
        )


@contextlib.contextmanager
def pillow_bound_off() -> Iterator[None]:
    """Read without Pillow's bound on the number of pixels: for files of a checked header."""
    bound = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = bound


@contextlib.contextmanager
def _one_line(path: str, what: str, source: str = "") -> Iterator[None]:
    try:
        yield
    # A decoder raises anything for a damaged file: SyntaxError, struct.error, IndexError, ...
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{what} {path!r}{source} cannot be used ({reason}): replace it or remove it from the "
            "data set"
        ) from error


def _is_turned(image: Image.Image) -> bool:
    try:
        # The method of the base class: that of PNG decodes the whole image to look behind it.
        return Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1) in (5, 6, 7, 8)
    except Exception:  # damaged metadata, which Detectron2 passes over, too
        return False
