"""Image classification as a meta architecture: backbone, pooling, classifier, loss."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from detectron2.utils.events import get_event_storage
from detectron2.utils.registry import Registry
from torch import Tensor, nn

from ..data import build_batch_mixing
from ..exceptions import InputError
from ..losses import ClassificationLoss
from ..losses.arguments import is_number
from .head_loss import build_head_loss

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
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors / length.masked_fill(length < _SMALLEST_LENGTH, math.inf)


@META_ARCH_REGISTRY.register()
class ImageClassifier(nn.Module):
    """Backbone, global average pooling, classifier and one of the classification losses.

    Args:
        backbone: any backbone of Detectron2's interface.
        classifier: (R, D) features to (R, C) logits, with the attributes ``num_classes`` and
            ``bias``. The bias starts at the loss' prior.
        loss_cls: the loss, which also turns logits into scores.
        in_feature: name of the backbone's output that is pooled.
        pixel_mean: mean of each channel, in the order of the images, in units of 0 to 255.
        pixel_std: standard deviations that images are divided by.
        batch_transform: applied in training to normalised images (N, 3, H, W) and labels int64
            (N,), which it may turn into soft labels (N, C): see :func:`build_batch_mixing`. The
            loss must take soft labels.

    Raises:
        InputError: the backbone has no such output, classifier and loss are for different numbers
            of classes, or the loss takes no soft labels and there is a batch transform.
    """

    @configurable
    def __init__(
        self,
        *,
        backbone: Backbone,
        classifier: nn.Module,
        loss_cls: ClassificationLoss,
        in_feature: str,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        batch_transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ):
        super().__init__()
        _channels(backbone, in_feature)
        loss_cls.check_head(classifier.num_classes)
        if batch_transform is not None and not loss_cls.takes_soft_labels:
            raise InputError(
                f"{type(loss_cls).__name__} takes no soft labels, which mixup and CutMix make: "
                "leave out INPUT.CLASSIFICATION.MIXUP and CUTMIX, or take another MODEL.EQL.LOSS"
            )
        loss_cls.init_bias(classifier.bias)
        self.backbone = backbone
        self.classifier = classifier
        self.loss_cls = loss_cls
        self.in_feature = in_feature
        self.batch_transform = batch_transform
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(-1, 1, 1), False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(-1, 1, 1), False)

    @classmethod
    def from_config(cls, cfg):
        backbone = build_backbone(cfg)
        in_feature = cfg.MODEL.CLASSIFIER.IN_FEATURE
        num_classes = cfg.MODEL.CLASSIFIER.NUM_CLASSES
        mixing = cfg.INPUT.CLASSIFICATION
        return {
            "backbone": backbone,
            "classifier": build_classifier(cfg, _channels(backbone, in_feature)),
            "loss_cls": build_head_loss(cfg, num_classes),
            "in_feature": in_feature,
            "pixel_mean": cfg.MODEL.PIXEL_MEAN,
            "pixel_std": cfg.MODEL.PIXEL_STD,
            "batch_transform": build_batch_mixing(mixing.MIXUP, mixing.CUTMIX, num_classes),
        }

    @property
    def device(self) -> torch.device:
        return self.pixel_mean.device

    def forward(self, batched_inputs: list[dict]) -> dict[str, Tensor] | list[dict]:
        """Train on, or classify, a batch.

        Args:
            batched_inputs: for each image a dict with "image", (3, H, W), all of one size, and in
                training "label", 0..C-1.

        Returns:
            In training the loss, ``{"loss_cls": scalar}``; otherwise for each image
            ``{"scores": float32 (C,)}``, in the order of the inputs.

        Raises:
            InputError: the images differ in size.
        """
        images = self.preprocess_images(batched_inputs)
        if not self.training:
            scores = self.loss_cls.scores(self.loss_cls.calibration(self.logits(images)))
            return [{"scores": row} for row in scores]
        targets = torch.tensor([x["label"] for x in batched_inputs], device=self.device)
        if self.batch_transform is not None:
            images, targets = self.batch_transform(images, targets)
        logits = self.logits(images)
        _log_accuracy(logits, targets)
        return {"loss_cls": self.loss_cls(logits, targets)}

    def preprocess_images(self, batched_inputs: list[dict]) -> Tensor:
        """Stack and normalise, (N, 3, H, W)."""
        images = [x["image"] for x in batched_inputs]
        sizes = sorted({tuple(image.shape) for image in images})
        if len(sizes) > 1:
            raise InputError(
                f"a batch has images of shapes {sizes[0]} and {sizes[1]}: end the mapper's "
                "transforms with a crop of a fixed size"
            )
        return (torch.stack(images).to(self.device) - self.pixel_mean) / self.pixel_std

    def logits(self, images: Tensor) -> Tensor:
        """Logits (N, C) of normalised images."""
        features = self.backbone(images)[self.in_feature]
        return self.classifier(features.mean(dim=(2, 3)))


def _channels(backbone: Backbone, in_feature: str) -> int:
    shapes = backbone.output_shape()
    if in_feature not in shapes:
        raise InputError(
            f"in_feature {in_feature!r} is not an output of the backbone, which has "
            f"{', '.join(shapes)}: set MODEL.CLASSIFIER.IN_FEATURE (and MODEL.RESNETS.OUT_FEATURES)"
        )
    return shapes[in_feature].channels


def _log_accuracy(logits: Tensor, targets: Tensor) -> None:
    """Share of the batch that is classified correctly; of soft labels the largest counts."""
    labels = targets.argmax(dim=1) if targets.is_floating_point() else targets
    accuracy = (logits.detach().argmax(dim=1) == labels).float().mean().item()
    get_event_storage().put_scalar("classification/accuracy", accuracy)
