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
    register_open_images,
    register_own_data,
)

__all__ = [
    "CategoryFrequency",
    "ClassificationMapper",
    "DatasetMapper",
    "LongTail",
    "build_classification_transform",
    "build_mapper",
    "count_categories",
    "frequency_groups",
    "get_image_count",
    "get_image_frequency",
    "register_class_folder",
    "register_image_list",
    "register_json_instances",
    "register_open_images",
    "register_own_data",
]
