"""Mapper of image classification: torchvision's transforms on PIL images."""

from collections.abc import Callable

import numpy as np
import torch
import torchvision.transforms as T
from detectron2.config import CfgNode, configurable
from PIL import Image

from ..exceptions import InputError
from .image_files import MAX_IMAGE_PIXELS, read_image


def build_classification_transform(
    cfg: CfgNode, is_train: bool
) -> Callable[[Image.Image], Image.Image]:
    """Transforms of ``INPUT.CLASSIFICATION``, those of ImageNet-LT in the official code.

    In training a random crop of random size and shape, a flip and colour jitter; at test the
    shorter side to a fixed length and the central square.

    Raises:
        InputError: the crop at test is larger than the image that it is cut from.
    """
    settings = cfg.INPUT.CLASSIFICATION
    size = settings.CROP_SIZE
    if is_train:
        return T.Compose(
            [
                T.RandomResizedCrop(size, scale=settings.SCALE),
                T.RandomHorizontalFlip(settings.FLIP_PROB),
                T.ColorJitter(*settings.COLOR_JITTER),
            ]
        )
    if settings.RESIZE_TEST < size:
        raise InputError(
            f"INPUT.CLASSIFICATION.RESIZE_TEST is {settings.RESIZE_TEST}, less than CROP_SIZE "
            f"{size}: give at least as much, for example {size * 8 // 7}"
        )
    return T.Compose([T.Resize(settings.RESIZE_TEST), T.CenterCrop(size)])


class ClassificationMapper:
    """From a record of a data set to what :class:`ImageClassifier` takes.

    All randomness is PyTorch's: the same seed gives the same crops.

    Args:
        transform: PIL image (RGB) to PIL image.
        image_format: "RGB" or "BGR", the order of the channels that the model takes.
        max_image_pixels: larger images are refused; the default is Pillow's bound.

    Raises:
        InputError: unknown format; or, when called, the image is missing, damaged or too large.
    """

    @configurable
    def __init__(
        self,
        *,
        transform: Callable[[Image.Image], Image.Image],
        image_format: str = "RGB",
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        if image_format not in ("RGB", "BGR"):
            raise InputError(f"INPUT.FORMAT is {image_format!r}: classification takes RGB or BGR")
        self.transform = transform
        self.image_format = image_format
        self.max_image_pixels = max_image_pixels

    @classmethod
    def from_config(cls, cfg, is_train):
        return {
            "transform": build_classification_transform(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
            "max_image_pixels": cfg.INPUT.MAX_IMAGE_PIXELS,
        }

    def __call__(self, record: dict) -> dict:
        """Read and transform the image.

        Args:
            record: with "file_name", "image_id" and one annotation with "category_id".

        Returns:
            "image", uint8 (3, H, W); "label", int; "file_name"; "image_id".
        """
        source = f" of list {record['list_file']!r}" if "list_file" in record else ""
        image = read_image(record["file_name"], "RGB", source, self.max_image_pixels)
        image = np.asarray(self.transform(Image.fromarray(image)))
        if self.image_format == "BGR":
            image = image[:, :, ::-1]
        return {
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "label": record["annotations"][0]["category_id"],
            "file_name": record["file_name"],
            "image_id": record["image_id"],
        }
