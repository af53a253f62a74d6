"""The box predictor of Fast R-CNN, composed with a classification loss."""

import torch
from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import Instances
from torch import Tensor

from ..exceptions import InputError
from ..losses import ClassificationLoss
from .head_loss import build_head_loss


class EQLFastRCNNOutputLayers(FastRCNNOutputLayers):
    """Detectron2's ``FastRCNNOutputLayers`` with the classification loss given as a module.

    The loss decides the bias prior, the training weights and the scores at test. In a LazyConfig::

        model.roi_heads.box_predictor._target_ = EQLFastRCNNOutputLayers
        model.roi_heads.box_predictor.loss_cls = L(EQLv2)(num_classes="${..num_classes}")

    Args:
        input_shape: shape of the input feature.
        loss_cls: classification loss over C + 1 columns, each predictor its own.
        **kwargs: arguments of ``FastRCNNOutputLayers``; ``use_sigmoid_ce`` is ignored there, the
            loss knows.

    Raises:
        InputError: the loss is for another number of classes, or does not produce C + 1 columns;
            federated loss is asked for as well.
    """

    @configurable
    def __init__(self, input_shape: ShapeSpec, *, loss_cls: ClassificationLoss, **kwargs):
        name = type(loss_cls).__name__
        if kwargs.get("use_fed_loss"):
            raise InputError(
                f"use_fed_loss cannot be combined with {name}: each of them decides which "
                "negatives count, and sampled negatives would distort the gradient ratio; "
                "switch USE_FED_LOSS off or use Detectron2's own predictor"
            )
        # The only loss hook of the base class is the method behind this switch.
        kwargs["use_sigmoid_ce"] = True
        super().__init__(input_shape, **kwargs)
        loss_cls.check_head(self.num_classes)
        if loss_cls.num_logits != self.num_classes + 1:
            raise InputError(
                f"{name} needs {loss_cls.num_logits} columns but a box head has "
                f"{self.num_classes + 1}: this loss is not for two-stage detectors"
            )
        loss_cls.init_bias(self.cls_score.bias)
        self.loss_cls = loss_cls

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        ret["loss_cls"] = build_head_loss(cfg, cfg.MODEL.ROI_HEADS.NUM_CLASSES)
        return ret

    def sigmoid_cross_entropy_loss(self, pred_class_logits: Tensor, gt_classes: Tensor) -> Tensor:
        """Classification loss of logits (R, C + 1) and labels (R,), where C is background."""
        return self.loss_cls(pred_class_logits, gt_classes.to(torch.long))

    def predict_probs(
        self, predictions: tuple[Tensor, Tensor], proposals: list[Instances]
    ) -> list[Tensor]:
        """Class probabilities of each image, (Ri, C + 1); the last column is a placeholder that
        inference drops."""
        scores = self.loss_cls.scores(self.loss_cls.calibration(predictions[0]))
        scores = torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=1)
        # len() would be a constant in a trace; in its own files Detectron2 replaces it.
        return scores.split([p.__len__() for p in proposals], dim=0)
