from .build import build_evaluator
from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator

__all__ = ["COCOEvaluator", "LVISEvaluator", "build_evaluator"]
