from .build import build_evaluator
from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator
from .open_images_evaluation import OpenImagesEvaluator

__all__ = ["COCOEvaluator", "LVISEvaluator", "OpenImagesEvaluator", "build_evaluator"]
