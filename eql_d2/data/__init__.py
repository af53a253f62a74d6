from .build import build_mapper
from .category_frequency import (
    CategoryFrequency,
    count_categories,
    frequency_groups,
    get_image_count,
    get_image_frequency,
)
from .classification_mapper import ClassificationMapper, build_classification_transform
from .dataset_mapper import DatasetMapper
from .datasets import (
    LongTail,
    register_class_folder,
    register_image_list,
    register_json_instances,
    register_mask_folder,
    register_open_images,
    register_own_data,
)
from .label_frequency import LabelFrequency, LabelGroups, count_labels, group_labels
from .sem_seg_mapper import SemSegMapper, build_sem_seg_augmentation

__all__ = [
    "CategoryFrequency",
    "ClassificationMapper",
    "DatasetMapper",
    "LabelFrequency",
    "LabelGroups",
    "LongTail",
    "SemSegMapper",
    "build_classification_transform",
    "build_mapper",
    "build_sem_seg_augmentation",
    "count_categories",
    "count_labels",
    "frequency_groups",
    "get_image_count",
    "get_image_frequency",
    "group_labels",
    "register_class_folder",
    "register_image_list",
    "register_json_instances",
    "register_mask_folder",
    "register_open_images",
    "register_own_data",
]
