from .arguments import get_parser, limits_of, own_data_of
from .best_checkpointer import LastingBestCheckpointer
from .config_checks import check_yaml
from .defaults import Trainer
from .hooks import GradientRatioHook
from .launch import launch
from .lazy import evaluate_lazy, train_lazy
from .lazy_checks import check_lazy
from .lazy_config import load_lazy
from .yaml_config import load_yaml
