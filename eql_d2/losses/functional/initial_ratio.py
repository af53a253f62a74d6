"""The gradient ratio with which the classes begin: what a prior makes of an equalization loss."""

import math

import torch
from torch import Tensor

# Bounds of the priors that are searched; 0.5 is a bias of zero.
_SMALLEST_PRIOR, _LARGEST_PRIOR = 1e-6, 0.5


def initial_gradients(
    prior: float, gamma: float = 0.0, alpha: float = -1.0, quality: float | Tensor | None = None
) -> tuple[float | Tensor, float]:
    r"""Absolute gradients that one positive and one negative give while p is the prior everywhere.

    Of the focal loss, by the derivative of :math:`-\alpha (1 - p)^\gamma \log p` and of
    :math:`-(1 - \alpha) p^\gamma \log (1 - p)`,

    .. math::
        g^+ = \alpha (1 - \pi)^\gamma (1 - \pi - \gamma \pi \log \pi), \qquad
        g^- = (1 - \alpha) \pi^\gamma (\pi - \gamma (1 - \pi) \log (1 - \pi))

    so :math:`g^+ \approx \alpha` and :math:`g^- \approx (1 - \alpha)(1 + \gamma) \pi^{1 + \gamma}`
    for a small prior. With :math:`\gamma = 0` and no alpha this is the cross entropy of a sigmoid
    and the first step of EQL v2: :math:`g^+ = 1 - \pi`, :math:`g^- = \pi`. With a quality q the
    positive is that of the quality focal loss, :math:`|q - p|^\gamma \mathrm{BCE}(p, q)`:

    .. math::
        g^+ = |q - \pi|^{\gamma + 1} +
        \gamma |q - \pi|^{\gamma - 1} \pi (1 - \pi) \mathrm{BCE}(\pi, q)

    Args:
        prior: :math:`\pi`, in (0, 1).
        gamma: focusing factor.
        alpha: weight of the positives, 1 - alpha of the negatives; negative for none.
        quality: q of the positives, 0 to 1, or that of each class; None for labels.

    Returns:
        :math:`g^+` and :math:`g^-`.
    """
    of_positives, of_negatives = (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)
    log_p, log_not_p = math.log(prior), math.log1p(-prior)
    negative = prior**gamma * (prior - gamma * (1 - prior) * log_not_p)
    if quality is None:
        positive = (1 - prior) ** gamma * (1 - prior - gamma * prior * log_p)
    else:
        q = torch.as_tensor(quality, dtype=torch.float64)
        distance = (q - prior).abs()
        entropy = -q * log_p - (1 - q) * log_not_p
        # As in the loss, 0 where the quality is the prior.
        slope = (gamma * distance ** (gamma - 1)).masked_fill(distance == 0, 0)
        positive = distance ** (gamma + 1) + slope * prior * (1 - prior) * entropy
        positive = positive if isinstance(quality, Tensor) else float(positive)
    return of_positives * positive, of_negatives * negative


def step_weights(share: Tensor, batch_size: int) -> Tensor:
    r"""What the gradients of an image are multiplied by, in the mean of the steps that it is in.

    A step divides by the positives of its batch, so those of an image with few count for more than
    those of one with many: the ratio of the accumulated gradients is not that of the means. Of an
    image with m positives, in a batch with images that are drawn with the others' share,

    .. math:: w_m = \mathrm{E} \left[ \frac{1}{\max(m + m_2 + \ldots + m_B, 1)} \right]

    Args:
        share: (M,), of the images that have 0, 1, ... M - 1 positives; adds up to 1.
        batch_size: B, images of a step, in all processes together.

    Returns:
        float64 (M,), :math:`B w_m` times the mean number of positives, around 1: the more images a
        step has, the nearer. 1 where no image has positives.
    """
    share = share.double()
    largest = len(share) - 1
    num_others = (batch_size - 1) * largest + 1  # what the other images of a batch may have
    length = num_others + largest
    spectrum = torch.fft.rfft(share, length) ** (batch_size - 1)
    inverse = 1 / torch.arange(length, dtype=torch.float64).clamp(min=1)
    # The correlation of both; what wraps around is cut off.
    weights = torch.fft.irfft(torch.fft.rfft(inverse) * spectrum.conj(), length)[: len(share)]
    mean = (share * torch.arange(len(share))).sum()
    return mean * batch_size * weights if mean > 0 else torch.ones_like(share)


def initial_ratio(
    prior: float,
    positives: Tensor,
    num_samples: float,
    gamma: float = 0.0,
    alpha: float = -1.0,
    quality: float | Tensor | None = None,
) -> Tensor:
    r"""Accumulated positive over negative gradient of each class in the first steps.

    .. math:: R_j = \frac{n_j \, g^+}{(N - n_j) \, g^-}

    A sample counts as a negative of all classes but its own. R does not depend on the number of
    samples as such but on their share :math:`n_j / N` that is positive. Of a loss that is divided
    by something else in each step both are means with the :func:`step_weights` of the images.

    Args:
        prior, gamma, alpha, quality: see :func:`initial_gradients`.
        positives: :math:`n_j`, (C,), mean number of positives of each class in an image.
        num_samples: N, mean number of samples (anchors, regions) of an image that are not ignored.

    Returns:
        float64 (C,).
    """
    positive, negative = initial_gradients(prior, gamma, alpha, quality)
    positives = positives.double()
    return positives * positive / ((num_samples - positives) * negative)


def prior_for_ratio(
    ratio: float,
    positives: float,
    num_samples: float,
    gamma: float = 0.0,
    alpha: float = -1.0,
    quality: float | Tensor | None = None,
) -> float:
    """Prior with which a class begins at a ratio: the inverse of :func:`initial_ratio`.

    Args:
        ratio: wanted.
        positives: of this class, more than 0.
        num_samples, gamma, alpha, quality: see :func:`initial_ratio`.

    Returns:
        Prior, between 1e-6 and 0.5, the nearest where there is none.
    """
    number = torch.tensor([positives], dtype=torch.float64)
    low, high = math.log(_SMALLEST_PRIOR), math.log(_LARGEST_PRIOR)
    for _ in range(60):  # the ratio falls as the prior grows
        middle = (low + high) / 2
        begins_at = initial_ratio(math.exp(middle), number, num_samples, gamma, alpha, quality)
        low, high = (middle, high) if begins_at > ratio else (low, middle)
    return math.exp((low + high) / 2)
