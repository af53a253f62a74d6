"""The box head that learns the world: Detectron2's layers, this product's losses."""

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from torch import Tensor, nn

from ...losses import build_loss
from ...modeling import EQLFastRCNNOutputLayers
from .rois import RoIs
from .world import World


class Head(nn.Module):
    """Fully connected layers and the predictor of a box head; boxes are not learned.

    Args:
        cfg: ``MODEL.ROI_BOX_HEAD`` and ``MODEL.EQL`` are read. With ``USE_FED_LOSS`` the predictor
            is Detectron2's own.
        world: has the counts that losses ask for.
    """

    def __init__(self, cfg: CfgNode, world: World):
        super().__init__()
        box_head = cfg.MODEL.ROI_BOX_HEAD
        widths = [world.settings.dimensions] + [box_head.FC_DIM] * box_head.NUM_FC
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in zip(widths, widths[1:])]
        self.layers = nn.Sequential(*layers)
        self.predictor = _predictor(cfg, world, widths[-1])

    @property
    def loss_cls(self) -> nn.Module | None:
        """The loss; None where it is Detectron2's."""
        return getattr(self.predictor, "loss_cls", None)

    def forward(self, rois: RoIs) -> dict[str, Tensor]:
        """The loss, as Detectron2's trainers take it."""
        labels = torch.from_numpy(rois.labels)
        loss = self.predictor.sigmoid_cross_entropy_loss(self._logits(rois), labels)
        return {"loss_cls": loss}

    def scores(self, rois: RoIs) -> Tensor:
        """Of the C classes, (R, C)."""
        logits = self._logits(rois)
        if self.loss_cls is None:
            return logits[:, :-1].sigmoid()
        return self.loss_cls.scores(self.loss_cls.calibration(logits))

    def _logits(self, rois: RoIs) -> Tensor:
        return self.predictor.cls_score(self.layers(torch.from_numpy(rois.features)))


def _predictor(cfg: CfgNode, world: World, width: int) -> FastRCNNOutputLayers:
    count = torch.from_numpy(world.image_count)
    arguments = {
        "input_shape": ShapeSpec(channels=width),
        "box2box_transform": Box2BoxTransform((10.0, 10.0, 5.0, 5.0)),
        "num_classes": len(count),
        "cls_agnostic_bbox_reg": True,
    }
    box_head = cfg.MODEL.ROI_BOX_HEAD
    if box_head.USE_FED_LOSS:
        weights = torch.from_numpy(world.image_count**box_head.FED_LOSS_FREQ_WEIGHT_POWER)
        return FastRCNNOutputLayers(
            use_sigmoid_ce=True,
            use_fed_loss=True,
            get_fed_loss_cls_weights=weights.float,
            fed_loss_num_classes=box_head.FED_LOSS_NUM_CLASSES,
            **arguments,
        )
    loss = build_loss(cfg, len(count), lambda: count / world.num_images, count.double)
    return EQLFastRCNNOutputLayers(loss_cls=loss, **arguments)
