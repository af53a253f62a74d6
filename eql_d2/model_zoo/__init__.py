"""The configs that come with the package, by their path below ``configs/``."""

from .model_zoo import CONFIGS, get_config, get_config_file
