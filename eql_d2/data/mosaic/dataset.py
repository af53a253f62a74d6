"""Training data whose images are mixed until the last part of a training."""

from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetFromList
from detectron2.data.transforms import AugInput, ColorTransform, ResizeTransform, Transform
from detectron2.structures import BoxMode, Instances

from ..dataset_mapper import DatasetMapper
from ..mixable import check_mixable
from ..numbered_dataset import NumberedDataset
from .mixing import Mixture, MosaicMixup, black_image

# Objects not wider and higher than this after the last resizing are dropped, in pixels: official
_SPECK = 1.0


class MosaicDataset(NumberedDataset):
    """Images mixed by :class:`MosaicMixup`, then augmented by a mapper; the last ones only so.

    The order of the official code: a mixed image is to the mapper what an image of the data is, so
    its augmentations (colour, flip, resizing) come after. It has ``height`` and ``width`` of the
    square, the rest is of the image that it was the turn of. Objects that are not wider and higher
    than one pixel in the end are dropped. An image of which no object is left stays.

    Which images are not mixed follows from the number that :class:`ResumableLoader` counts them
    with, so it is exact with any number of workers and after an interruption, and no worker has to
    be told. The official code makes a new loader instead, whose order begins anew.

    Args:
        records: training data, in Detectron2's standard format.
        mapper: of them; of :class:`eql_d2.data.DatasetMapper`, for it reads all images.
        mixing: how images are mixed.
        num_mixed: images, in all processes together, that are mixed before the rest are not.
        partner_weights: float (N,), how often each image is drawn as one of the four others,
            relative to the rest; None for all alike, as in the official code.

    Raises:
        InputError: the mapper is of another class or reads something else than colours of 8 bits,
            or the images have label maps or proposals, which are not mixed.
    """

    def __init__(
        self,
        records: DatasetFromList,
        mapper: DatasetMapper,
        mixing: MosaicMixup,
        num_mixed: int,
        partner_weights: Sequence[float] | None = None,
    ):
        check_mixable("a mosaic", "INPUT.MOSAIC.ENABLED", mapper, records)
        # Named as in Detectron2's MapDataset, where what looks for the records finds them
        self._dataset, self.mapper, self.mixing = records, mapper, mixing
        self.num_mixed, self._shares = num_mixed, None
        if partner_weights is not None:
            self._shares = np.cumsum(np.asarray(partner_weights, np.float64))

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, number: int, index: int) -> dict | None:
        if number >= self.num_mixed:
            return _without_specks(self.mapper(self._dataset[index]))
        mixture, size = self._draw(index), self.mixing.size
        annotations = [x for layer in mixture.layers for x in layer.apply_annotations()]
        mixed = {**mixture.tiles[0].record, "height": size, "width": size}
        image = mixture.read(self.mapper.read)
        return _without_specks(self.mapper.map_image(mixed | {"annotations": annotations}, image))

    def occurrences(self, repeat_factors: Sequence[float] | None = None) -> np.ndarray:
        """How often each record is among the images of a mixed one, on average; float64 (N,).

        Args:
            repeat_factors: how often each is the first of them in an epoch; None for once each.
        """
        alike = np.ones(len(self))
        first = alike if repeat_factors is None else np.asarray(repeat_factors, np.float64)
        others = alike if self._shares is None else np.diff(self._shares, prepend=0)
        num_others = 3 + self.mixing.mixup_prob
        return first / first.sum() + num_others * others / others.sum()

    def draw_objects(self, index: int) -> Instances:
        """The objects of a mixed image, without reading a pixel: cheap enough to count anchors.

        Args:
            index: of the record that it is the turn of.

        Returns:
            What :meth:`load` gives from the same random numbers, ``gt_boxes`` and ``gt_classes``
            alone, if the augmentations of the mapper do not look at pixels.
        """
        mixture = self._draw(index)
        annotations = [
            {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": x["category_id"]}
            for layer in mixture.layers
            for x, box in zip(layer.annotations, layer.boxes)
        ]
        blank = _Blank(black_image(self.mixing.size, self.mixing.size))
        transforms = self.mapper.augmentations(blank)
        data = {"annotations": annotations}
        self.mapper._transform_annotations(data, transforms, blank.image.shape[:2])
        return _without_specks(data)["instances"]

    def _draw(self, index: int) -> Mixture:
        return self.mixing.draw(self._record(index), lambda: self._record(self._draw_partner()))

    def _draw_partner(self) -> int:
        if self._shares is None:
            return np.random.randint(len(self))
        place = np.random.uniform(0, self._shares[-1])
        return min(int(np.searchsorted(self._shares, place, side="right")), len(self) - 1)

    def _record(self, index: int) -> dict:
        """Without what the mapper would leave out, so that it is not transformed in vain."""
        record = self._dataset[index]
        unused = set()
        if not self.mapper.use_instance_mask:
            unused.add("segmentation")
        if not self.mapper.use_keypoint:
            unused.add("keypoints")
        annotations = [
            {key: value for key, value in annotation.items() if key not in unused}
            for annotation in record.get("annotations", ())
        ]
        return {**record, "annotations": annotations}


class _Blank(AugInput):
    """An image of which only the size matters: what takes time is not done to its pixels."""

    def transform(self, tfm: Transform) -> None:
        if isinstance(tfm, ResizeTransform):
            self.image = black_image(tfm.new_h, tfm.new_w)
        elif not isinstance(tfm, ColorTransform):
            super().transform(tfm)


def _without_specks(data: dict | None) -> dict | None:
    if data is not None and "instances" in data:
        instances = data["instances"]
        data["instances"] = instances[instances.gt_boxes.nonempty(threshold=_SPECK)]
    return data
