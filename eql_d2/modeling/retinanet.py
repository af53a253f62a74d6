"""RetinaNet, composed with a classification loss that works on the head's own maps."""

import math

import torch
from detectron2.config import configurable
from detectron2.layers import cat
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.box_regression import _dense_box_regression_loss
from detectron2.modeling.meta_arch import RetinaNet
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from torch import Tensor

from ..distributed import mean_over_ranks
from ..exceptions import InputError
from ..losses import DenseLoss
from .head_loss import build_head_loss


@META_ARCH_REGISTRY.register()
class EQLRetinaNet(RetinaNet):
    """Detectron2's ``RetinaNet`` with the classification loss given as a module.

    The logits stay in the head's layout: neither training nor inference permutes, concatenates or
    copies them. The losses are divided by the positive anchors, averaged over the processes, not
    by Detectron2's moving average, which no checkpoint holds and which differs between processes.

    Args:
        loss_cls: a loss for dense heads: ``FocalLoss``, ``EFL`` or ``EQFL``.
        **kwargs: arguments of ``RetinaNet``. Its ``focal_loss_alpha`` and ``focal_loss_gamma`` are
            the loss' business.

    Attributes:
        scalars: of the last step, for the trainer to log: ``num_pos_anchors``, of an image.

    Raises:
        InputError: the loss is not for dense heads, or for another number of classes; no score
            can be above the threshold.
    """

    scalars: dict[str, Tensor]

    @configurable
    def __init__(self, *, loss_cls: DenseLoss, **kwargs):
        super().__init__(**kwargs)
        name = type(loss_cls).__name__
        if not isinstance(loss_cls, DenseLoss):
            raise InputError(
                f"{name} is not for one-stage detectors: there the many negatives of the anchors "
                "swamp the gradient ratio (or the loss needs a background column); use EFL"
            )
        if not self.test_score_thresh < 1:
            raise InputError(
                f"test_score_thresh (MODEL.RETINANET.SCORE_THRESH_TEST) is {self.test_score_thresh}"
                ": give a number below 1, which no score is above"
            )
        loss_cls.check_head(self.num_classes, gives_quality=True)
        self.loss_cls = loss_cls
        self.init_prior()

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        ret["loss_cls"] = build_head_loss(cfg, cfg.MODEL.RETINANET.NUM_CLASSES)
        return ret

    def init_prior(self) -> None:
        """Let the head begin with the prior of the loss."""
        self.loss_cls.init_bias(self.head.cls_score.bias)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of an image as the network sees it, alone in its batch."""
        multiple = max(self.backbone.size_divisibility, 1)
        return math.ceil(height / multiple) * multiple, math.ceil(width / multiple) * multiple

    def forward_training(self, images, features, predictions, gt_instances):
        pred_logits, pred_anchor_deltas = predictions
        pred_anchor_deltas = [permute_to_N_HWA_K(x, 4) for x in pred_anchor_deltas]
        anchors = self.anchor_generator(features)
        gt_labels, gt_boxes = self.label_anchors(anchors, gt_instances)
        return self.losses(anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes)

    def losses(self, anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes):
        """As :meth:`RetinaNet.losses`, but ``pred_logits`` are maps (N, A * K, Hi, Wi)."""
        gt_labels = torch.stack(gt_labels)
        positive = (gt_labels >= 0) & (gt_labels != self.num_classes)
        num_positive = positive.sum()
        self.scalars = {"num_pos_anchors": num_positive / len(gt_labels)}
        normalizer = mean_over_ranks(num_positive)

        quality = {}
        if self.loss_cls.uses_quality:
            quality["quality"] = self.box_quality(anchors, pred_anchor_deltas, gt_boxes, positive)
        loss_box_reg = _dense_box_regression_loss(
            anchors,
            self.box2box_transform,
            pred_anchor_deltas,
            gt_boxes,
            positive,
            box_reg_loss_type=self.box_reg_loss_type,
            smooth_l1_beta=self.smooth_l1_beta,
        )
        return {
            "loss_cls": self.loss_cls(pred_logits, gt_labels, normalizer=normalizer, **quality),
            "loss_box_reg": loss_box_reg / normalizer,
        }

    @torch.no_grad()
    def box_quality(self, anchors, pred_anchor_deltas, gt_boxes, positive) -> Tensor:
        """IoU of the decoded box with its object at positive anchors, 0 elsewhere, (N, R)."""
        image, anchor = positive.nonzero(as_tuple=True)
        deltas = cat(pred_anchor_deltas, dim=1)[image, anchor]
        boxes = self.box2box_transform.apply_deltas(deltas, Boxes.cat(anchors).tensor[anchor])
        quality = torch.zeros(positive.shape, device=positive.device)
        matched = torch.stack(gt_boxes)[image, anchor]
        quality[image, anchor] = matched_pairwise_iou(Boxes(boxes), Boxes(matched))
        return quality

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: list[list[Tensor]]
    ):
        pred_logits, pred_anchor_deltas = predictions
        anchors = self.anchor_generator(features)
        results: list[Instances] = []
        for index, image_size in enumerate(images.image_sizes):
            logits = [x[index] for x in pred_logits]
            deltas = [x[index] for x in pred_anchor_deltas]
            results.append(self.inference_single_image(anchors, logits, deltas, image_size))
        return results

    def _decode_per_level_predictions(
        self,
        anchors: Boxes,
        pred_scores: Tensor,
        pred_deltas: Tensor,
        score_thresh: float,
        topk_candidates: int,
        image_size: tuple[int, int],
    ) -> Instances:
        """As the base class, but from logits (A * K, H, W) and deltas (A * 4, H, W)."""
        scores, anchor, classes = top_candidates(
            pred_scores, self.num_classes, score_thresh, topk_candidates
        )
        deltas = permute_to_N_HWA_K(pred_deltas[None], 4)[0][anchor]
        boxes = self.box2box_transform.apply_deltas(deltas, anchors.tensor[anchor])
        return Instances(image_size, pred_boxes=Boxes(boxes), scores=scores, pred_classes=classes)


def top_candidates(
    logits: Tensor, num_classes: int, score_thresh: float, num_candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Best (anchor, class) pairs of one level, found among the logits: no dense sigmoid.

    Args:
        logits: (A * C, H, W), channel a * C + c.
        num_classes: C.
        score_thresh: lowest probability, exclusive.
        num_candidates: how many at most.

    Returns:
        Probabilities, anchor indices in the order H, W, A, and classes, each (n,), best first.
    """
    channels, height, width = logits.shape
    flat = logits.flatten()
    if score_thresh > 0:
        passing = (flat > math.log(score_thresh / (1 - score_thresh))).nonzero()[:, 0]
    else:
        passing = torch.arange(flat.shape[0], device=flat.device)
    count = passing.shape[0]
    # A tensor in tracing, where the number must not become a constant.
    count = (
        count.clamp(max=num_candidates) if isinstance(count, Tensor) else min(count, num_candidates)
    )
    values, order = flat[passing].topk(count)
    candidates = passing[order]
    channel, position = candidates // (height * width), candidates % (height * width)
    num_anchors = channels // num_classes
    anchor = position * num_anchors + channel // num_classes
    return values.float().sigmoid(), anchor, channel % num_classes
