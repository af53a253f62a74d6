"""The improved one-stage baseline of EFL (arXiv 2201.02593)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from detectron2.layers import batched_nms, cat
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from fvcore.nn import giou_loss
from torch import Tensor

from ..distributed import mean_over_ranks
from ..exceptions import InputError
from .atss import ATSSAssigner, ATSSHead
from .retinanet import EQLRetinaNet


class Positives(NamedTuple):
    """Positive anchors of a batch, each a row.

    Attributes:
        anchors, objects: boxes (P, 4) in pixels, of the anchors and of their objects.
        deltas: predicted (P, 4).
    """

    anchors: Tensor
    deltas: Tensor
    objects: Tensor


@META_ARCH_REGISTRY.register()
class EQLImprovedBaseline(EQLRetinaNet):
    """RetinaNet with ATSS, an IoU branch and a GIoU loss: the baseline that EFL was built on.

    With the IoU q of the decoded box and its object at positive anchors, a constant, the losses are
    that of ``loss_cls`` (q is its quality), GIoU weighted by q and divided by the sum of q, and
    the binary cross-entropy of the IoU branch against q. All weights are 1. The score at test is
    the product of the probabilities of class and IoU. Boxes that miss their objects have no weight
    and learn nothing: train with a warm-up and clipped gradients, as the paper's recipe.

    The official code counts pixels from corner to corner (widths are ``x2 - x1 + 1``, centres of
    cells ``(stride - 1) / 2``). Here boxes are continuous, as everywhere in Detectron2, whose data
    and evaluation the old convention would miss by half a pixel: set the offset of the anchor
    generator to 0.5. The anchors of the paper are two squares of 6 and 8 times the stride.

    Args:
        box_reg_loss_type: "giou", the only one.
        **kwargs: arguments of :class:`EQLRetinaNet`; ``head`` is an :class:`ATSSHead` and
            ``anchor_matcher`` an :class:`ATSSAssigner`.

    Raises:
        InputError: another box loss is asked for.
    """

    @configurable
    def __init__(self, *, box_reg_loss_type: str = "giou", **kwargs):
        if box_reg_loss_type != "giou":
            raise InputError(
                f"box loss {box_reg_loss_type!r}: EQLImprovedBaseline weighs a GIoU loss by the "
                "IoU, set MODEL.RETINANET.BBOX_REG_LOSS_TYPE to giou"
            )
        super().__init__(box_reg_loss_type=box_reg_loss_type, **kwargs)

    @classmethod
    def from_config(cls, cfg):
        ret = super().from_config(cfg)
        shapes = ret["backbone"].output_shape()
        ret["head"] = ATSSHead(cfg, [shapes[name] for name in ret["head_in_features"]])
        ret["anchor_matcher"] = ATSSAssigner()
        return ret

    @torch.no_grad()
    def label_anchors(self, anchors, gt_instances):
        """As :meth:`RetinaNet.label_anchors`; no label is -1."""
        labels, boxes = [], []
        for instances in gt_instances:
            matched = self.anchor_matcher(anchors, instances.gt_boxes, instances.image_size)
            # -1, background, picks the last row.
            classes = F.pad(instances.gt_classes, (0, 1), value=self.num_classes)
            labels.append(classes[matched])
            boxes.append(F.pad(instances.gt_boxes.tensor, (0, 0, 0, 1))[matched])
        return labels, boxes

    def forward_training(self, images, features, predictions, gt_instances):
        pred_logits, pred_anchor_deltas, pred_ious = predictions
        pred_anchor_deltas = [permute_to_N_HWA_K(x, 4) for x in pred_anchor_deltas]
        pred_ious = [permute_to_N_HWA_K(x, 1) for x in pred_ious]
        anchors = self.anchor_generator(features)
        gt_labels, gt_boxes = self.label_anchors(anchors, gt_instances)
        return self.losses(anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes, pred_ious)

    def losses(self, anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes, pred_ious):
        """Losses of class, box and IoU; zero with a zero gradient where there is no positive.

        Args:
            anchors, pred_logits, gt_labels, pred_anchor_deltas, gt_boxes: see
                :meth:`EQLRetinaNet.losses`.
            pred_ious: logit of the IoU, (N, Hi * Wi * A, 1) of each level.
        """
        gt_labels = torch.stack(gt_labels)
        positive = (gt_labels >= 0) & (gt_labels != self.num_classes)
        num_positive = positive.sum()
        self.scalars = {"num_pos_anchors": num_positive / len(gt_labels)}

        image, anchor = positive.nonzero(as_tuple=True)
        found = Positives(
            anchors=Boxes.cat(anchors).tensor[anchor],
            deltas=cat(pred_anchor_deltas, dim=1)[image, anchor],
            objects=torch.stack(gt_boxes)[image, anchor],
        )
        boxes = self.box2box_transform.apply_deltas(found.deltas, found.anchors)
        ious = matched_pairwise_iou(Boxes(boxes.detach()), Boxes(found.objects))
        normalizer, iou_normalizer = mean_over_ranks(torch.stack([num_positive, ious.sum()]))

        quality = {}
        if self.loss_cls.uses_quality:
            quality["quality"] = ious.new_zeros(positive.shape).index_put((image, anchor), ious)
        loss_cls = self.loss_cls(pred_logits, gt_labels, normalizer=normalizer, **quality)
        loss_box_reg = (ious * giou_loss(boxes, found.objects)).sum()
        loss_iou = F.binary_cross_entropy_with_logits(
            cat(pred_ious, dim=1)[image, anchor, 0].float(), ious, reduction="sum"
        )
        return {
            "loss_cls": loss_cls,
            "loss_box_reg": loss_box_reg / iou_normalizer,
            "loss_iou": loss_iou / normalizer,
            **self.delta_losses(found),
        }

    def delta_losses(self, found: Positives) -> dict[str, Tensor]:
        """Further losses of a subclass, of the deltas of the positive anchors."""
        return {}

    def forward_inference(
        self, images: ImageList, features: list[Tensor], predictions: list[list[Tensor]]
    ):
        pred_logits, pred_anchor_deltas, pred_ious = predictions
        anchors = self.anchor_generator(features)
        results: list[Instances] = []
        for index, image_size in enumerate(images.image_sizes):
            levels: list[Instances] = []
            for boxes, logits, deltas, ious in zip(
                anchors, pred_logits, pred_anchor_deltas, pred_ious
            ):
                levels.append(
                    self._decode_level(boxes, logits[index], deltas[index], ious[index], image_size)
                )
            found = levels[0].cat(levels)
            keep = batched_nms(
                found.pred_boxes.tensor, found.scores, found.pred_classes, self.test_nms_thresh
            )
            results.append(found[keep[: self.max_detections_per_image]])
        return results

    def _decode_level(
        self,
        anchors: Boxes,
        logits: Tensor,
        deltas: Tensor,
        ious: Tensor,
        image_size: tuple[int, int],
    ) -> Instances:
        """Candidates of one level, from the maps of one image."""
        scores, anchor, classes = top_rated_candidates(
            logits, ious, self.test_score_thresh, self.test_topk_candidates
        )
        deltas = permute_to_N_HWA_K(deltas[None], 4)[0][anchor]
        boxes = Boxes(self.box2box_transform.apply_deltas(deltas, anchors.tensor[anchor]))
        # Before the suppression, as the official code; Detectron2's RetinaNet clips after it.
        boxes.clip(image_size)
        return Instances(image_size, pred_boxes=boxes, scores=scores, pred_classes=classes)


def top_rated_candidates(
    logits: Tensor, ious: Tensor, score_thresh: float, num_candidates: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(anchor, class) pairs of one level with the best product of class and IoU probability.

    As the official code we keep at most as many pairs as there are anchors, so the best class of
    each anchor gives a bound that the best pairs reach, and with it a lowest logit for each anchor:
    no dense map of scores. There is one where that leaves more than one pair in 16, as on the equal
    logits of features that died; the indices of so many pairs take more than the map.

    Args:
        logits: (A * C, H, W), channel a * C + c.
        ious: logit of the IoU, (A, H, W).
        score_thresh: lowest product, exclusive.
        num_candidates: how many at most, besides the number of anchors.

    Returns:
        Products, anchor indices in the order H, W, A, and classes, each (n,), best first.
    """
    num_anchors, height, width = ious.shape
    ious = ious.flatten(1).float().sigmoid()
    logits = logits.view(num_anchors, -1, height * width)  # (A, C, H * W)
    # Sizes are tensors in tracing, where they must not become constants.
    limit = num_anchors * height * width
    if isinstance(limit, Tensor):
        limit = limit.clamp(max=num_candidates)
    else:
        limit = min(limit, num_candidates)
    best = logits.amax(dim=1).float().sigmoid() * ious
    bound = best.flatten().topk(limit)[0][-1].clamp(min=score_thresh)
    # Lowered by more than rounding; a product below the smallest float passes everywhere.
    lowest = (bound / ious.clamp(min=1e-30) * 0.9999).clamp(max=1).logit()
    is_candidate = logits >= lowest[:, None]
    # Tracing has one path.
    if not torch.jit.is_tracing() and bool(
        torch.count_nonzero(is_candidate) * 16 > is_candidate.numel()
    ):
        products = logits.float().sigmoid().mul_(ious[:, None])
        scores, pair = products.flatten().topk(limit)
        position, pair = pair % (height * width), pair // (height * width)
        a, classes = pair // logits.shape[1], pair % logits.shape[1]
    else:
        a, classes, position = torch.where(is_candidate)
        scores = logits[a, classes, position].float().sigmoid() * ious[a, position]
        scores, order = scores.sort(descending=True)
        scores, order = scores[:limit], order[:limit]
        a, classes, position = a[order], classes[order], position[order]
    kept = scores > score_thresh
    return scores[kept], position[kept] * num_anchors + a[kept], classes[kept]
