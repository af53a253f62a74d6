"""The quality focal loss of labelled entries, which the forms in PyTorch share."""

import torch
import torch.nn.functional as F
from torch import Tensor

# exp(-80) is nothing beside 1 and exp(80) is finite, in float64 too; PyTorch's threshold for
# softplus, 20, gives up 1e-10 of precision, which float64 has.
LARGEST_LOG = 80.0


def softplus(z: Tensor) -> Tensor:
    return F.softplus(z, threshold=LARGEST_LOG)


def quality_focal_loss(z: Tensor, quality: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """|q - p|**gamma BCE(p, q) and its derivative; in float64, q close to p costs digits.

    The derivative is 0 at q = p, where it does not exist for a gamma of 1 or less.

    Args:
        z, quality, gamma: logit, q and focusing factor of each entry, of one shape.

    Returns:
        Loss and derivative with respect to the logit, of that shape.
    """
    p = torch.sigmoid(z)
    difference = p - quality
    distance = difference.abs()
    power = distance**gamma
    # A quality of 0 has no part in it, however large the logit.
    bce = softplus(z) - (quality * z).masked_fill(quality == 0, 0)
    slope = (gamma * power / difference).masked_fill(distance == 0, 0) * p * torch.sigmoid(-z)
    # Where the entropy is larger p (1 - p) is 0.
    return power * bce, power * difference + slope * bce.clamp(max=1000)
