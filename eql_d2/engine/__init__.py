from .arguments import get_parser, limits_of, own_data_of
from .best_checkpointer import LastingBestCheckpointer
from .config import check_lazy, check_yaml, load_lazy, load_yaml
from .defaults import Trainer
from .hooks import GradientRatioHook
from .launch import launch
from .lazy import evaluate_lazy, train_lazy
