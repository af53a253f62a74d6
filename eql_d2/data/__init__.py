from .category_counts import CategoryCounts, count_categories
from .category_groups import (
    GROUP_NAMES,
    CategoryGroups,
    frequency_groups,
    group_by_instances,
    group_labels,
)
from .category_table import CategoryTable, category_table, get_image_frequency
from .class_lists import adopt_training_classes, class_names
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
from .sem_seg_mapper import SemSegMapper, build_sem_seg_augmentation

__all__ = [
    "GROUP_NAMES",
    "CategoryCounts",
    "CategoryGroups",
    "CategoryTable",
    "ClassificationMapper",
    "DatasetMapper",
    "LongTail",
    "SemSegMapper",
    "adopt_training_classes",
    "build_classification_transform",
    "build_sem_seg_augmentation",
    "category_table",
    "class_names",
    "count_categories",
    "frequency_groups",
    "get_image_frequency",
    "group_by_instances",
    "group_labels",
    "register_class_folder",
    "register_image_list",
    "register_json_instances",
    "register_mask_folder",
    "register_open_images",
    "register_own_data",
]
