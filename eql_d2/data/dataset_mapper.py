"""Detectron2's mapper, with a clear error for images that cannot be read."""

import inspect

import numpy as np
import torch
from detectron2.config import configurable
from detectron2.data import DatasetMapper as _DatasetMapper
from detectron2.data.detection_utils import SizeMismatchError, check_image_size
from detectron2.data.transforms import AugInput

from ..exceptions import InputError
from .image_files import (
    MAX_IMAGE_PIXELS,
    check_header,
    other_size,
    pillow_bound_off,
    read_header,
    read_image,
)
from .transforms import build_augmentation


class DatasetMapper(_DatasetMapper):
    """Same as :class:`detectron2.data.DatasetMapper`, for images of a bounded number of pixels.

    Args:
        max_image_pixels: larger images are refused before they are decoded; the default is
            Pillow's bound.
        *args: of Detectron2's class.
        **kwargs: of Detectron2's class.

    Raises:
        InputError: the image is missing, damaged, too large, not of 8 bits, or not of the annotated
            size.
    """

    @configurable
    def __init__(self, *args, max_image_pixels: int = MAX_IMAGE_PIXELS, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.max_image_pixels = max_image_pixels

    # All arguments by name, for what looks for unknown ones in a LazyConfig
    __signature__ = inspect.signature(_DatasetMapper).replace(
        parameters=[
            *inspect.signature(_DatasetMapper).parameters.values(),
            inspect.Parameter(
                "max_image_pixels", inspect.Parameter.KEYWORD_ONLY, default=MAX_IMAGE_PIXELS
            ),
        ]
    )

    @classmethod
    def from_config(cls, cfg, is_train: bool = True) -> dict:
        arguments = super().from_config(cfg, is_train)
        return arguments | {
            "augmentations": build_augmentation(cfg, is_train, arguments["augmentations"]),
            "max_image_pixels": cfg.INPUT.MAX_IMAGE_PIXELS,
        }

    def __call__(self, dataset_dict: dict) -> dict:
        path = dataset_dict["file_name"]
        check_header(path, read_header(path), self.max_image_pixels)
        try:
            with pillow_bound_off():
                return super().__call__(dataset_dict)
        except SizeMismatchError as error:
            image = read_image(path, "RGB", max_pixels=self.max_image_pixels)
            raise _not_of_its_size(dataset_dict, image) from error
        except Exception:
            read_image(path, "RGB", max_pixels=self.max_image_pixels)  # raises if it is to blame
            raise

    def read(self, dataset_dict: dict) -> np.ndarray:
        """The image of a record, (H, W, C), checked as by a call.

        Raises:
            InputError: as above.
        """
        path = dataset_dict["file_name"]
        image = read_image(path, self.image_format, max_pixels=self.max_image_pixels)
        try:
            check_image_size({**dataset_dict}, image)
        except SizeMismatchError as error:
            raise _not_of_its_size(dataset_dict, image) from error
        return image

    def map_image(self, dataset_dict: dict, image: np.ndarray) -> dict:
        """What a call does after it has read the image.

        Args:
            dataset_dict: with the annotations of this image, in Detectron2's standard format.
            image: (H, W, C).
        """
        augmented = AugInput(image)
        transforms = self.augmentations(augmented)
        data, image = {**dataset_dict}, augmented.image
        data["image"] = torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1)))
        self._transform_annotations(data, transforms, image.shape[:2])
        return data


def _not_of_its_size(dataset_dict: dict, image: np.ndarray) -> InputError:
    path, annotated = dataset_dict["file_name"], (dataset_dict["width"], dataset_dict["height"])
    return InputError(other_size(path, image.shape[1::-1], annotated))
