"""The mapper of a task."""

from collections.abc import Callable

from detectron2.config import CfgNode

from .classification_mapper import ClassificationMapper
from .dataset_mapper import DatasetMapper
from .sem_seg_mapper import SemSegMapper

_MAPPERS = {"ImageClassifier": ClassificationMapper, "SemanticSegmentor": SemSegMapper}


def build_mapper(cfg: CfgNode, is_train: bool) -> Callable[[dict], dict]:
    """Mapper for ``MODEL.META_ARCHITECTURE``: detection unless it is another task's."""
    return _MAPPERS.get(cfg.MODEL.META_ARCHITECTURE, DatasetMapper)(cfg, is_train=is_train)
