from .batch_mixing import build_batch_mixing
from .box_places import fractal_dimension, get_fractal_dimension
from .build import (
    build_copy_paste_train_loader,
    build_mosaic_train_loader,
    build_train_loader,
    instantiate_train_loader,
)
from .category_counts import CategoryCounts, count_categories
from .category_groups import (
    GROUP_NAMES,
    LABEL_MAP_NAMES,
    SHOT_NAMES,
    WITHOUT_IMAGE,
    CategoryGroups,
    frequency_groups,
    group_by_instances,
    group_labels,
)
from .category_table import (
    CategoryTable,
    category_table,
    get_class_count,
    get_image_frequency,
    get_label_frequency,
    get_pixel_count,
)
from .class_lists import adopt_training_classes, class_names
from .classification_mapper import ClassificationMapper, build_classification_transform
from .copy_paste import CopyPaste, CopyPasteDataset
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
from .exposure import CategoriesOfImages, Exposure
from .loader_checks import check_test_images
from .mosaic import MosaicDataset, MosaicMixup
from .numbered_dataset import NumberedDataset
from .resumable_loader import ResumableLoader, resumable
from .samplers import (
    CeilRepeatFactorTrainingSampler,
    get_order,
    round_repeat_factors,
    set_order,
)
from .sem_seg_mapper import SemSegMapper, build_sem_seg_augmentation
from .training_records import TrainingRecords, training_records
from .transforms import AffineTransform, RandomAffine, RandomHSV, ResizeLongestEdge
from .validation.limits import Limits
from .validation.mask_kinds import check_has_masks
from .validation.repairs import fill_absent_fields
