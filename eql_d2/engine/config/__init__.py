"""Config files and overrides, read and checked before anything is loaded."""

from .lazy_checks import check_lazy
from .lazy_files import load_lazy
from .read_losses import load_yaml
from .yaml_checks import check_yaml
