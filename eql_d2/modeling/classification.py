"""Image classification as a meta architecture: backbone, pooling, classifier, loss."""

from collections.abc import Callable

import torch
from detectron2.config import configurable
from detectron2.modeling import META_ARCH_REGISTRY, Backbone, build_backbone
from torch import Tensor, nn

from ..data import build_batch_mixing
from ..exceptions import InputError
from ..losses import ClassificationLoss
from .classifiers import build_classifier
from .head_loss import build_head_loss


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

    Attributes:
        scalars: of the last step, for the trainer to log: ``classification/accuracy``.

    Raises:
        InputError: the backbone has no such output, classifier and loss are for different numbers
            of classes, or the loss takes no soft labels and there is a batch transform.
    """

    scalars: dict[str, Tensor]

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
        self.scalars = {"classification/accuracy": _accuracy(logits, targets)}
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


def _accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Share of the batch that is classified correctly; of soft labels the largest counts."""
    labels = targets.argmax(dim=1) if targets.is_floating_point() else targets
    return (logits.detach().argmax(dim=1) == labels).float().mean()
