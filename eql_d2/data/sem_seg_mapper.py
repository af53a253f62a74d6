"""Mapper of semantic segmentation."""

import copy

import detectron2.data.transforms as T
import numpy as np
import torch
from detectron2.config import CfgNode, configurable
from detectron2.data.detection_utils import build_augmentation

from .image_files import MAX_IMAGE_PIXELS, check_label_map_size, read_image, read_label_map


def build_sem_seg_augmentation(cfg: CfgNode, is_train: bool) -> list[T.Augmentation]:
    """Detectron2's resizing and flip, and between them the crop of ``INPUT.CROP``.

    Unlike in detection the crop comes after the resizing, so that all are of one size; it is tried
    again while one class fills more than ``INPUT.CROP.SINGLE_CATEGORY_MAX_AREA`` of it, as in
    DeepLab.
    """
    augmentations = build_augmentation(cfg, is_train)
    if is_train and cfg.INPUT.CROP.ENABLED:
        crop = T.RandomCrop_CategoryAreaConstraint(
            cfg.INPUT.CROP.TYPE,
            cfg.INPUT.CROP.SIZE,
            cfg.INPUT.CROP.SINGLE_CATEGORY_MAX_AREA,
            cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
        )
        augmentations.insert(1, crop)
    return augmentations


class SemSegMapper:
    """From a record of a data set to what Detectron2's ``SemanticSegmentor`` takes.

    Detectron2's own mapper reads the grey values of a label map, not the indices of its palette,
    and checks no label.

    Args:
        is_train: whether the label map is read, too.
        augmentations: applied to image and label map alike.
        image_format: order of the channels that the model takes, "BGR" or "RGB".
        num_classes: number C of classes: labels are 0..C-1.
        ignore_label: value of pixels without a label.
        max_image_pixels: larger images are refused; the default is Pillow's bound.
    """

    @configurable
    def __init__(
        self,
        *,
        is_train: bool,
        augmentations: list[T.Augmentation],
        image_format: str,
        num_classes: int,
        ignore_label: int = 255,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
    ):
        self.is_train = is_train
        self.augmentations = T.AugmentationList(augmentations)
        self.image_format = image_format
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.max_image_pixels = max_image_pixels

    @classmethod
    def from_config(cls, cfg, is_train):
        return {
            "is_train": is_train,
            "augmentations": build_sem_seg_augmentation(cfg, is_train),
            "image_format": cfg.INPUT.FORMAT,
            "num_classes": cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES,
            "ignore_label": cfg.MODEL.SEM_SEG_HEAD.IGNORE_VALUE,
            "max_image_pixels": cfg.INPUT.MAX_IMAGE_PIXELS,
        }

    def __call__(self, record: dict) -> dict:
        """Read and transform.

        Args:
            record: with "file_name" and, for training, "sem_seg_file_name" and perhaps
                "label_index", the class of each label.

        Returns:
            The record with "image", uint8 (3, H, W), "height" and "width" of the image file and,
            for training, "sem_seg", int64 (H, W).

        Raises:
            InputError: a file is missing or damaged, has an unknown label, or the two differ in
                size.
        """
        record = copy.deepcopy(record)
        sem_seg_file_name = record.pop("sem_seg_file_name", None)
        label_index = record.pop("label_index", None)
        image = read_image(record["file_name"], self.image_format, max_pixels=self.max_image_pixels)
        record["height"], record["width"] = image.shape[:2]
        labels = None
        if self.is_train:
            labels = read_label_map(
                sem_seg_file_name,
                self.num_classes,
                self.ignore_label,
                self.max_image_pixels,
                label_index,
            )
            check_label_map_size(sem_seg_file_name, labels.shape, image.shape[:2])
        inputs = T.AugInput(image, sem_seg=labels)
        self.augmentations(inputs)
        record["image"] = torch.from_numpy(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))
        if self.is_train:
            record["sem_seg"] = torch.from_numpy(inputs.sem_seg.astype(np.int64))
        return record
