from .build import EVALUATORS, build_evaluator
from .classification_evaluation import ClassificationEvaluator
from .coco_evaluation import COCOEvaluator
from .lvis import LVISEvaluator
from .open_images import OpenImagesEvaluator
from .sem_seg_evaluation import SemSegEvaluator
