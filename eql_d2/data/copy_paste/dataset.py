"""Training data with rare instances pasted on the images."""

import numpy as np
from detectron2.data import DatasetFromList

from ...exceptions import InputError
from ..dataset_mapper import DatasetMapper
from ..mixable import check_mixable
from ..numbered_dataset import NumberedDataset
from ..validation.mask_kinds import count_masks
from .cutout import Cutout
from .pasting import CopyPaste, Instances
from .scene import Scene


class CopyPasteDataset(NumberedDataset):
    """Images on which :class:`CopyPaste` puts rare instances, then augmented by a mapper.

    Of what lies below, the covered part is taken from masks and boxes, and objects of which a tenth
    or less is left vanish, as do pasted ones that the edge or a later one hides as much. Crowd
    regions are neither pasted nor cut. What is drawn is a function of the random numbers alone, so
    :class:`ResumableLoader` gives the same images with any number of workers and after an
    interruption.

    Args:
        records: training data, in Detectron2's standard format.
        mapper: of them; of :class:`eql_d2.data.DatasetMapper`, for it reads the other images.
        pasting: how often, what and how large.

    Raises:
        InputError: the mapper is of another class, or takes keypoints or polygons; the images have
            label maps, proposals or instances without masks; or no category is rare.
    """

    def __init__(self, records: list[dict], mapper: DatasetMapper, pasting: CopyPaste):
        check_mixable("copy-paste", "INPUT.COPY_PASTE.ENABLED", mapper, records)
        check_copy_paste_masks(
            mapper.use_instance_mask, mapper.instance_mask_format, mapper.use_keypoint
        )
        counts = count_masks(records)
        if counts["none"]:
            raise InputError(
                f"{counts['none']} of {sum(counts.values())} instances of the training data have "
                "no mask, and copy-paste cuts objects out by their masks: add segmentation to the "
                "file, or set INPUT.COPY_PASTE.ENABLED False"
            )
        self._instances = Instances.of(records, pasting.repeat_threshold)
        # Named as in Detectron2's MapDataset, where what looks for the records finds them
        self._dataset, self.mapper = DatasetFromList(records, copy=False), mapper
        self.pasting = pasting

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, number: int, index: int) -> dict | None:
        record, count = self._dataset[index], self.pasting.draw_count()
        if not count:
            return self.mapper(record)
        scene = Scene(self.mapper.read(record), record["annotations"])
        for _ in range(count):
            self._paste_one(scene)
        return self.mapper.map_image(record | {"annotations": scene.annotations()}, scene.image)

    def _paste_one(self, scene: Scene) -> None:
        image_index, index = self._instances.draw()
        record, size = self._dataset[image_index], scene.image.shape[:2]
        annotation, image = record["annotations"][index], self.mapper.read(record)
        cutout = Cutout.of(image, annotation["segmentation"])
        if cutout is None:
            return
        fit = min(np.array(size) / image.shape[:2])
        cutout = self.pasting.draw_size(cutout, fit)
        if cutout is not None:
            place = self.pasting.draw_place(cutout, size)
            scene.paste(cutout, place, annotation["category_id"])


def check_copy_paste_masks(use_masks: bool, mask_format: str, use_keypoints: bool) -> None:
    """Refuse what the mapper of copy-paste cannot keep true.

    Args:
        use_masks: whether the model is trained on masks.
        mask_format: in which the mapper gives them, "polygon" or "bitmask".
        use_keypoints: whether the model is trained on keypoints.

    Raises:
        InputError: masks are polygons, which are not cut, or there are keypoints.
    """
    if use_masks and mask_format != "bitmask":
        raise InputError(
            f"INPUT.MASK_FORMAT is {mask_format!r}, but copy-paste (INPUT.COPY_PASTE.ENABLED) cuts "
            "masks: set it to bitmask (LazyConfig: dataloader.train.mapper.instance_mask_format)"
        )
    if use_keypoints:
        raise InputError(
            "MODEL.KEYPOINT_ON is True, but copy-paste (INPUT.COPY_PASTE.ENABLED) does not know "
            "which keypoints it covers: set one of them to False"
        )
