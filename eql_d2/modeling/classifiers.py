"""Classifiers: from the features of an image to a logit for each class."""

import math

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ..exceptions import InputError
from ..losses.arguments import in_float32, is_number

# Vectors that are shorter count as zero, as in F.normalize.
_SMALLEST_LENGTH = 1e-12

CLASSIFIER_REGISTRY = Registry("CLASSIFIER")
CLASSIFIER_REGISTRY.__doc__ = """
Classifiers by class name, for ``MODEL.CLASSIFIER.NAME``. A registered class is called as
``cls(cfg, in_features)``: use :func:`detectron2.config.configurable` with
``from_config(cls, cfg, in_features)``. It maps features (R, in_features) to logits (R, num_classes)
and has the attributes ``num_classes`` and ``bias``, which may be None.
"""


def build_classifier(cfg: CfgNode, in_features: int) -> nn.Module:
    """Build the classifier that ``MODEL.CLASSIFIER.NAME`` names.

    Raises:
        InputError: no classifier of that name is registered.
    """
    name = cfg.MODEL.CLASSIFIER.NAME
    if name not in CLASSIFIER_REGISTRY:
        known = ", ".join(sorted(key for key, _ in CLASSIFIER_REGISTRY))
        raise InputError(f"MODEL.CLASSIFIER.NAME is {name!r}: choose one of {known}")
    return CLASSIFIER_REGISTRY.get(name)(cfg, in_features)


@CLASSIFIER_REGISTRY.register()
class LinearClassifier(nn.Linear):
    """``nn.Linear`` that starts as Detectron2's classifiers: normal weights of standard deviation
    0.01, zero bias.

    Args:
        in_features: number D of features.
        num_classes: number C of classes.
    """

    @configurable
    def __init__(self, in_features: int, num_classes: int):
        super().__init__(in_features, num_classes)
        self.num_classes = num_classes
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)

    @classmethod
    def from_config(cls, cfg, in_features):
        return {"in_features": in_features, "num_classes": cfg.MODEL.CLASSIFIER.NUM_CLASSES}


@CLASSIFIER_REGISTRY.register()
class CosineClassifier(nn.Module):
    r"""Temperature times the cosine between the features and a vector for each class.

    .. math:: z_k = t \, \frac{x}{\|x\|} \cdot \frac{w_k}{\|w_k\|}

    The classifier of the official ImageNet-LT recipe of Softmax-EQL. The vectors start uniform in
    -1 to 1, scaled to length 1. Features of length zero have cosine 0, and no gradient. There is no
    bias, so the prior of a sigmoid loss has no place: its classes start near a probability of one
    half.

    Args:
        in_features: number D of features.
        num_classes: number C of classes.
        temperature: t; the default is the official one.

    Raises:
        InputError: the temperature is not positive.
    """

    bias = None

    @configurable
    def __init__(self, in_features: int, num_classes: int, temperature: float = 30.0):
        super().__init__()
        if not is_number(temperature) or temperature <= 0:
            raise InputError(
                f"temperature of CosineClassifier is {temperature}: it must be positive, give 30"
            )
        self.num_classes = num_classes
        self.temperature = temperature
        weight = torch.empty(num_classes, in_features).uniform_(-1, 1)
        self.weight = nn.Parameter(F.normalize(weight))

    @classmethod
    def from_config(cls, cfg, in_features):
        return {
            "in_features": in_features,
            "num_classes": cfg.MODEL.CLASSIFIER.NUM_CLASSES,
            "temperature": cfg.MODEL.CLASSIFIER.TEMPERATURE,
        }

    def forward(self, features: Tensor) -> Tensor:
        return self.temperature * F.linear(_directions(features), _directions(self.weight))

    def extra_repr(self) -> str:
        num_classes, in_features = self.weight.shape
        return (
            f"in_features={in_features}, num_classes={num_classes}, temperature={self.temperature}"
        )


def _directions(vectors: Tensor) -> Tensor:
    """Rows scaled to length 1. A row of zeros has no direction: it stays, with zero gradient."""
    precise = in_float32(vectors)  # the squares leave the range of half precision
    length = torch.linalg.vector_norm(precise, dim=1, keepdim=True)
    return (precise / length.masked_fill(length < _SMALLEST_LENGTH, math.inf)).to(vectors.dtype)
