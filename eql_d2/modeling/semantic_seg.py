"""Semantic segmentation heads, composed with a classification loss.

There is no official code of the equalization losses for segmentation: that each labelled pixel is a
row of the loss, its mean over the pixels of a process and its statistics the sums over them, is our
reconstruction.
"""

import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.projects.deeplab import DeepLabV3PlusHead
from torch import Tensor

from ..data import get_label_frequency, get_pixel_count
from ..exceptions import InputError
from ..losses import ClassificationLoss
from .head_loss import build_head_loss


class _LossModule:
    """What both heads do with their loss: build it, start its prior, call it on maps, calibrate."""

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        # Of the label maps: panoptic data have instances of other classes besides.
        counts = {"get_count": get_pixel_count, "get_frequency": get_label_frequency}
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        return ret | {"loss_cls": build_head_loss(cfg, num_classes, **counts)}

    def _set_loss(self, loss_cls: ClassificationLoss) -> None:
        loss_cls.check_head(self.predictor.out_channels)
        loss_cls.init_bias(self.predictor.bias)
        self.loss_cls = loss_cls

    def losses(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Loss of logits (N, C, h, w), upsampled as in the base class, and labels (N, H, W)."""
        predictions = F.interpolate(
            predictions.float(),
            scale_factor=self.common_stride,
            mode="bilinear",
            align_corners=False,
        )
        # Images of a backbone without a size divisibility may end within a cell.
        predictions = predictions[..., : targets.shape[-2], : targets.shape[-1]]
        targets = targets.masked_fill(targets == self.ignore_value, -1)
        return {"loss_sem_seg": self.loss_cls(predictions, targets) * self.loss_weight}

    def forward(self, features: dict[str, Tensor], targets: Tensor | None = None):
        """As the base class. With C columns and no background the class of the largest (calibrated)
        logit is the class of the largest probability, of a softmax and of sigmoids."""
        predictions, losses = super().forward(features, targets)
        return predictions if self.training else self.loss_cls.calibration(predictions), losses


@SEM_SEG_HEADS_REGISTRY.register()
class EQLSemSegFPNHead(_LossModule, SemSegFPNHead):
    """Detectron2's ``SemSegFPNHead`` with the classification loss given as a module.

    Images of any size: where the backbone does not pad them to its stride, the features are padded.

    Args:
        input_shape: shapes of the features, by name.
        loss_cls: classification loss; the mean over the pixels that are not ignored.
        **kwargs: arguments of ``SemSegFPNHead``.

    Raises:
        InputError: the loss is for another number of classes.
    """

    @configurable
    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, loss_cls: ClassificationLoss, **kwargs
    ):
        # By name: a LazyConfig's dict as first argument would be taken for a config.
        super().__init__(input_shape=input_shape, **kwargs)
        self._strides = {name: input_shape[name].stride for name in self.in_features}
        self._set_loss(loss_cls)

    def layers(self, features: dict[str, Tensor]) -> Tensor:
        """Logits of the common stride; the features end where the coarsest of them does."""
        coarsest = max(self._strides, key=self._strides.get)
        height, width = features[coarsest].shape[-2:]
        padded = {}
        for name, stride in self._strides.items():
            cells = self._strides[coarsest] // stride
            feature = features[name]
            bottom, right = cells * height - feature.shape[-2], cells * width - feature.shape[-1]
            padded[name] = F.pad(feature, (0, right, 0, bottom)) if right or bottom else feature
        return super().layers(padded)


@SEM_SEG_HEADS_REGISTRY.register()
class EQLDeepLabV3PlusHead(_LossModule, DeepLabV3PlusHead):
    """The ``DeepLabV3PlusHead`` of Detectron2's DeepLab with the loss given as a module.

    A yaml config pools over the whole image, as DeepLab does in training. Detectron2 pools over
    windows of the size of the training crop, and refuses images that are not of a multiple of it.

    Args:
        input_shape: shapes of the features, by name.
        loss_cls: classification loss; the mean over the pixels that are not ignored.
        **kwargs: arguments of ``DeepLabV3PlusHead``; ``loss_type`` must be "cross_entropy".

    Raises:
        InputError: the loss is for another number of classes; hard pixel mining is asked for,
            which would choose the negatives that the gradient ratio counts.
    """

    @classmethod
    def from_config(cls, cfg, input_shape):
        return super().from_config(cfg, input_shape) | {"train_size": None}

    @configurable
    def __init__(
        self, input_shape: dict[str, ShapeSpec], *, loss_cls: ClassificationLoss, **kwargs
    ):
        if kwargs.get("loss_type", "cross_entropy") != "cross_entropy":
            raise InputError(
                f"MODEL.SEM_SEG_HEAD.LOSS_TYPE is {kwargs['loss_type']!r}: it would choose the "
                f"pixels that {type(loss_cls).__name__} sees, set it to 'cross_entropy'"
            )
        # By name: a LazyConfig's dict as first argument would be taken for a config.
        super().__init__(input_shape=input_shape, **kwargs)
        del self.loss  # replaced by loss_cls
        self._set_loss(loss_cls)
