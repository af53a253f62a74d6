from .evaluator import OpenImagesEvaluator

__all__ = ["OpenImagesEvaluator"]
