from .category_frequency import (
    CategoryFrequency,
    count_categories,
    frequency_groups,
    get_image_count,
    get_image_frequency,
)
from .dataset_mapper import DatasetMapper
from .datasets import register_json_instances, register_open_images

__all__ = [
    "CategoryFrequency",
    "DatasetMapper",
    "count_categories",
    "frequency_groups",
    "get_image_count",
    "get_image_frequency",
    "register_json_instances",
    "register_open_images",
]
