"""What a task is: all that differs between detection, classification and segmentation, once.

A new task is an entry of ``TASKS``, and a file in ``modeling/``.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from detectron2.config import CfgNode
from torch import nn

from .data import (
    GROUP_NAMES,
    LABEL_MAP_NAMES,
    SHOT_NAMES,
    ClassificationMapper,
    DatasetMapper,
    SemSegMapper,
    adopt_training_classes,
    check_has_masks,
    class_names,
)
from .exceptions import InputError
from .losses import ClassificationLoss

# In the place of a group: all categories
ALL = "all"


@dataclasses.dataclass(frozen=True)
class ClassCount:
    """Where a meta architecture has its number of classes.

    Attributes:
        yaml_key: key of a yaml config.
        lazy_key: key of a LazyConfig.
        module: path of the module that holds the losses of these classes; "" for the whole model.
    """

    yaml_key: str
    lazy_key: str
    module: str = ""


@dataclasses.dataclass(frozen=True)
class Task:
    """A task.

    Attributes:
        class_counts: by the name of each meta architecture for the task.
        class_list: metadata of a data set with the names of the classes.
        mapper: called as ``mapper(cfg, is_train=...)``.
        results: what evaluators of the task call their results, and the words for it.
        metrics: those of the first table of a report, in its order: words, and the group of
            categories that they are means over; None where they are of images or pixels.
        group_names: what the task calls the groups of its categories, by their keys.
        test_batch_size: images that go through the network together at test.
    """

    class_counts: Mapping[str, ClassCount]
    class_list: str
    mapper: Callable
    results: Mapping[str, str]
    metrics: Mapping[str, tuple[str, str | None]]
    group_names: Mapping[str, str] = dataclasses.field(default_factory=lambda: GROUP_NAMES)
    test_batch_size: int = 1


_DENSE = ClassCount("MODEL.RETINANET.NUM_CLASSES", "model.num_classes")
_BOX_HEADS = ClassCount("MODEL.ROI_HEADS.NUM_CLASSES", "model.roi_heads.num_classes", "roi_heads")
_PIXELS = ClassCount(
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "model.sem_seg_head.num_classes", "sem_seg_head"
)

DETECTION = Task(
    class_counts={
        "GeneralizedRCNN": _BOX_HEADS,
        "PanopticFPN": _BOX_HEADS,
        "EQLRetinaNet": _DENSE,
        "EQLImprovedBaseline": _DENSE,
        "EQLImprovedBaselineLegacyBoxes": _DENSE,
        "EQLYOLOXIP": _DENSE,
    },
    class_list="thing_classes",
    mapper=DatasetMapper,
    results={"bbox": "box", "segm": "mask", "keypoints": "keypoints"},
    metrics={
        "AP": ("AP", ALL),
        "APr": ("AP rare", "r"),
        "APc": ("AP common", "c"),
        "APf": ("AP frequent", "f"),
        "APFixed": ("AP-Fixed", ALL),
        "APFixedr": ("AP-Fixed rare", "r"),
        "APFixedc": ("AP-Fixed common", "c"),
        "APFixedf": ("AP-Fixed frequent", "f"),
        "AP50": ("AP at IoU 0.5", ALL),
        "AP75": ("AP at IoU 0.75", ALL),
        **{
            f"AP50_{i}": (f"AP at IoU 0.5, group {i} of 5 (1: rarest)", str(i)) for i in range(1, 6)
        },
    },
)

CLASSIFICATION = Task(
    class_counts={
        "ImageClassifier": ClassCount(
            "MODEL.CLASSIFIER.NUM_CLASSES", "model.classifier.num_classes"
        )
    },
    class_list="thing_classes",
    mapper=ClassificationMapper,
    results={"classification": ""},
    metrics={
        "top1": ("top-1 accuracy", None),
        "top5": ("top-5 accuracy", None),
        "mean_class": ("mean accuracy of the classes", ALL),
        "few": ("accuracy few-shot", "r"),
        "medium": ("accuracy medium-shot", "c"),
        "many": ("accuracy many-shot", "f"),
    },
    group_names=SHOT_NAMES,
    # Crops of one size go through the network together; Detectron2 takes one image at a time.
    test_batch_size=32,
)

SEGMENTATION = Task(
    class_counts={"SemanticSegmentor": _PIXELS, "PanopticFPN": _PIXELS},
    class_list="stuff_classes",
    mapper=SemSegMapper,
    results={"sem_seg": ""},
    metrics={
        "mIoU": ("mIoU", ALL),
        "mIoU_tail": ("mIoU tail", "r"),
        "mIoU_common": ("mIoU common", "c"),
        "mIoU_head": ("mIoU head", "f"),
        "mACC": ("mean accuracy of the classes", ALL),
        "pACC": ("accuracy of the pixels", None),
    },
    group_names=LABEL_MAP_NAMES,
)

# The first one that has a meta architecture counts; one of the user's own counts as detection.
TASKS = [DETECTION, CLASSIFICATION, SEGMENTATION]


def task_of(meta_architecture: str) -> Task:
    """Task of a meta architecture, by its class name."""
    return next((task for task in TASKS if meta_architecture in task.class_counts), DETECTION)


def task_of_results(names: Iterable[str]) -> Task | None:
    """The first task that has one of these results, "bbox" or "my_val/bbox"; None if none has."""
    found = {name.rpartition("/")[2] for name in names}
    return next((task for task in TASKS if found & task.results.keys()), None)


def build_mapper(cfg: CfgNode, is_train: bool) -> Callable[[dict], dict]:
    """Mapper for the task of ``MODEL.META_ARCHITECTURE``."""
    return task_of(cfg.MODEL.META_ARCHITECTURE).mapper(cfg, is_train=is_train)


def check_data_sets(model: nn.Module, training: Sequence[str], test: Sequence[str]) -> None:
    """Let test data adopt the classes of the training data, and refuse a model whose losses are for
    another number of classes.

    Args:
        model: whole.
        training, test: names of data sets; what is not registered is not looked at.

    Raises:
        InputError: the numbers differ, the data sets have different classes, or an instance of
            theirs has no mask for a model with a mask head.
    """
    adopt_training_classes(training, test)
    if getattr(getattr(model, "roi_heads", None), "mask_on", False):
        check_has_masks([*training, *test])
    architecture = type(model).__name__
    entries = [task for task in TASKS if architecture in task.class_counts]
    for task in entries or [DETECTION]:
        known = {}
        for name in dict.fromkeys([*training, *test]):
            names = class_names(name, task.class_list)
            if names is not None:
                known[name] = names
                _check_same(known, name)
                check_num_classes(model, task, name, len(names))


def check_num_classes(model: nn.Module, task: Task, dataset_name: str, num_classes: int) -> None:
    """Refuse a model whose losses are for another number of classes than a data set has.

    Raises:
        InputError: the numbers differ; the message names the keys that set the model's.
    """
    count = task.class_counts.get(type(model).__name__)
    for path, module in model.get_submodule(count.module if count else "").named_modules():
        if isinstance(module, ClassificationLoss) and module.num_classes != num_classes:
            keys = (count.yaml_key, count.lazy_key) if count else ("its number", path)
            raise InputError(
                f"the model has {module.num_classes} classes but data set {dataset_name!r} has "
                f"{num_classes}: set {keys[0]} {num_classes} (LazyConfig: {keys[1]})"
            )


def _check_same(known: Mapping[str, list[str]], name: str) -> None:
    first = next(iter(known))
    if known[name] != known[first]:
        raise InputError(
            f"data sets {first!r} ({len(known[first])}) and {name!r} ({len(known[name])}) have "
            "different categories: give both files the same list"
        )
