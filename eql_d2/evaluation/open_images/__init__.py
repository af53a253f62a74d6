from .evaluator import OpenImagesEvaluator
