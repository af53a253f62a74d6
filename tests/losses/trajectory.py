"""A linear classifier that a loss trains, in step with a reference."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.losses.test_parity import relative_difference


def follow(loss, reference, num_columns: int, steps: int = 200) -> tuple[float, Tensor]:
    """Train on long-tailed labels.

    Args:
        loss: as heads call it.
        reference: with ``step(logits, targets)``, which returns loss and gradient.
        num_columns: of the logits; the first 8 have a feature of their own.
        steps: how many.

    Returns:
        Largest relative difference of any loss or gradient, and the weights (8, num_columns).
    """
    generator = torch.Generator().manual_seed(0)
    weight, worst = torch.zeros(8, num_columns), 0.0
    share = torch.logspace(0, -2, num_columns)
    for _ in range(steps):
        targets = torch.multinomial(share, 16, replacement=True, generator=generator)
        features = torch.randn(16, 8, generator=generator) + F.one_hot(targets.clamp(max=7), 8)
        logits = (features @ weight).requires_grad_()
        value = loss(logits, targets)
        (gradient,) = torch.autograd.grad(value, logits)
        expected = reference.step(logits, targets)
        worst = max(worst, *map(relative_difference, (value.detach(), gradient), expected))
        weight -= 0.5 * features.t() @ gradient
    return worst, weight
