from .build import build_evaluator
from .classification_evaluation import ClassificationEvaluator
from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator
from .open_images_evaluation import OpenImagesEvaluator
from .sem_seg_evaluation import SemSegEvaluator

__all__ = [
    "COCOEvaluator",
    "ClassificationEvaluator",
    "LVISEvaluator",
    "OpenImagesEvaluator",
    "SemSegEvaluator",
    "build_evaluator",
]
