"""Which versions made a file."""

import platform

import detectron2
import numpy as np
import torch

__version__ = "0.2.0"


def versions() -> dict[str, str]:
    """Versions of python, torch, numpy, detectron2 and eql_d2."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "detectron2": detectron2.__version__,
        "eql_d2": __version__,
    }
