"""Detectron2's mapper, with a clear error for images that cannot be read."""

from detectron2.data import DatasetMapper as _DatasetMapper
from detectron2.data.detection_utils import SizeMismatchError

from ..exceptions import InputError


class DatasetMapper(_DatasetMapper):
    """Same as :class:`detectron2.data.DatasetMapper`.

    Raises:
        InputError: the image is missing, damaged, or not of the annotated size.
    """

    def __call__(self, dataset_dict: dict) -> dict:
        try:
            return super().__call__(dataset_dict)
        except (OSError, SizeMismatchError) as error:
            raise InputError(
                f"image {dataset_dict['file_name']!r} cannot be used "
                f"({' '.join(str(error).split())}): replace it or remove it from the annotations"
            ) from error
