from .evaluator import LVISEvaluator

__all__ = ["LVISEvaluator"]
