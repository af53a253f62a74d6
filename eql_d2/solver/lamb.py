"""LAMB, which is timm's."""

import importlib

import torch

from ..exceptions import InputError


def build_lamb(params, **kwargs) -> torch.optim.Optimizer:
    """``timm.optim.Lamb`` (arXiv 1904.00962), of which the official code has a copy.

    It first scales all gradients to a common norm of at most 1, timm's default and the official
    value.

    Args:
        params: see ``timm.optim.Lamb``.
        **kwargs: see there.

    Raises:
        InputError: timm is missing.
    """
    # Not at the top: timm is optional, and its import takes a second.
    try:
        lamb = importlib.import_module("timm.optim").Lamb
    except ImportError as error:
        raise InputError("LAMB (SOLVER.OPTIMIZER) is timm's: pip install 'timm>=1.0.16'") from error
    return lamb(params, **kwargs)
