"""An image of the training data on its way into a mixed one."""

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import detection_utils
from detectron2.data.transforms import Transform, TransformList
from detectron2.structures import BoxMode

from ..image_files import read_header
from .boxes import clip_boxes


class Layer:
    """An image with its objects and what is to be done to them. No pixel is read.

    Boxes go through each transform when it is added, and are cut; masks and keypoints, which cost
    more, go through all of them at the end, those of the boxes that are left.

    Args:
        record: of the training data, in Detectron2's standard format. Crowd regions are left out,
            as by Detectron2's mapper.

    Attributes:
        record: as given.
        size: height and width after the transforms so far.
        transforms: so far.
        annotations: of the objects that are left, as in the record.
        boxes: float64 (N, 4), theirs, XYXY, after the transforms so far.
    """

    def __init__(self, record: dict):
        self.record, self.size, self.transforms = record, _size(record), []
        self.annotations = [x for x in record.get("annotations", ()) if not x.get("iscrowd", 0)]
        self.boxes = clip_boxes(_boxes(self.annotations), self.size)

    def add(self, transform: Transform, size: tuple[int, int]) -> None:
        """Do one thing more.

        Args:
            transform: on an image of :attr:`size`.
            size: height and width that it leads to.
        """
        self.boxes = clip_boxes(transform.apply_box(self.boxes), size)
        self.transforms.append(transform)
        self.size = size

    def keep(self, which: np.ndarray) -> None:
        """Leave out objects for which ``which``, bool (N,), is False."""
        self.boxes = self.boxes[which]
        self.annotations = [x for x, kept in zip(self.annotations, which) if kept]

    def apply_image(self, image: np.ndarray) -> np.ndarray:
        """The image of the record after the transforms."""
        return TransformList(self.transforms).apply_image(image)

    def apply_annotations(self) -> list[dict]:
        """The annotations after the transforms, in Detectron2's standard format."""
        transformed = []
        for annotation, box in zip(self.annotations, self.boxes):
            annotation = {**annotation}
            if "segmentation" in annotation or "keypoints" in annotation:
                annotation = detection_utils.transform_instance_annotations(
                    annotation, self.transforms, self.size
                )
            annotation["bbox"], annotation["bbox_mode"] = box, BoxMode.XYXY_ABS
            if isinstance(annotation.get("segmentation"), np.ndarray):
                mask = np.asfortranarray(annotation["segmentation"])
                annotation["segmentation"] = mask_util.encode(mask)
            transformed.append(annotation)
        return transformed


def _size(record: dict) -> tuple[int, int]:
    if "height" in record and "width" in record:
        return record["height"], record["width"]
    header = read_header(record["file_name"])
    return header.height, header.width


def _boxes(annotations: list[dict]) -> np.ndarray:
    """float64 (N, 4), XYXY."""
    boxes = np.array([x["bbox"] for x in annotations], np.float64).reshape(-1, 4)
    modes = np.array([x["bbox_mode"] for x in annotations], np.int64)
    for mode in map(BoxMode, set(modes.tolist())):
        boxes[modes == mode] = BoxMode.convert(boxes[modes == mode], mode, BoxMode.XYXY_ABS)
    return boxes
