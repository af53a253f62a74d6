"""Fractal calibration (CVPR 2025, arXiv 2410.11774)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...exceptions import InputError
from ..arguments import PerClass, is_number
from ..base import ClassificationLoss
from ..baselines import SoftmaxLoss
from .base import Calibration, check_strength


class FRACAL(Calibration):
    r"""Fractal calibration (arXiv 2410.11774): by images of a class and by where it lies in them.

    .. math::
        p'_c = \mathrm{softmax}_c(z - m), \qquad
        m_c = \log_\beta f_c + \log_\beta C + \lambda \ln \Phi_c, \qquad m_\mathrm{bg} = 0

    with the share f of the training images that show a class, and the fractal dimension
    :math:`\Phi` of the centres of its boxes, see :func:`eql_d2.data.fractal_dimension`: 1 for a
    class that lies on a line (or is too rare to tell), 2 for one that lies everywhere, which loses.
    With :math:`\lambda = 0` what is left is the part by images.

    For box heads with one softmax over all columns. The official code has another form for
    sigmoids, a product of both scores; it is not here.

    Deviation from the official code: f is a share of the images with an annotation, there of all.

    Args:
        num_classes: see :class:`Calibration`.
        image_frequency: (C,) shares of the images, above 0, or a function that returns them, such
            as :func:`eql_d2.data.get_image_frequency`.
        fractal_dimension: (C,) dimensions, 1 or more, or a function that returns them, such as
            :func:`eql_d2.data.get_fractal_dimension`.
        beta: base of the logarithm of the part by images, above 1; the smaller, the stronger. This
            default and the next: official for LVIS.
        lambda_: strength of the part by places, 0 or more.

    Raises:
        InputError: see :class:`Calibration`; shares or dimensions that are none; beta of 1 or
            below; negative lambda.
    """

    losses_in_words = "losses whose scores are one softmax over all columns, in box heads"

    def __init__(
        self,
        num_classes: int,
        image_frequency: PerClass,
        fractal_dimension: PerClass,
        beta: float = 10.0,
        lambda_: float = 2.0,
    ):
        of_data = {"image_frequency": image_frequency, "fractal_dimension": fractal_dimension}
        super().__init__(num_classes, **of_data)
        if not is_number(beta) or beta <= 1:
            raise InputError(f"beta of FRACAL is {beta}: it is the base of a logarithm, give 10")
        self.beta = float(beta)
        self.lambda_ = check_strength("lambda of FRACAL", lambda_)

    def _fits(self, loss: ClassificationLoss) -> bool:
        return type(loss).scores is SoftmaxLoss.scores

    def _right(self, name: str, values: Tensor) -> tuple[Tensor, str]:
        if name == "image_frequency":
            return (values > 0) & (values <= 1), "a share of the images, above 0 and at most 1"
        return values >= 1, "a dimension, 1 or more"

    def _margins(self, dtype: torch.dtype, num_background: int) -> Tensor:
        frequency = self.image_frequency.to(dtype)
        of_images = torch.log(frequency * self.num_classes) / math.log(self.beta)
        of_places = self.lambda_ * torch.log(self.fractal_dimension.to(dtype))
        return F.pad(of_images + of_places, (0, num_background))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, beta={self.beta}, lambda_={self.lambda_}"
