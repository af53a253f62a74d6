from .evaluator import LVISEvaluator
