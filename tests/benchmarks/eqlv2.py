"""EQLv2 against what a user would use instead, and what it adds to a training step."""

import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from eql_d2 import EQLv2, add_eql_config
from eql_d2.losses.eqlv2 import gradient_guided_weights
from tests.benchmarks.timing import compare

NUM_CLASSES = 1203


class LiteralEQLv2:
    """The formulas written down one after the other, as the official code does: one-hot targets
    and about ten tensors of the size of the logits."""

    def __init__(self):
        self.pos_grad = torch.zeros(NUM_CLASSES)
        self.neg_grad = torch.zeros(NUM_CLASSES)
        self.ratio = torch.full((NUM_CLASSES,), 100.0)

    def __call__(self, logits, targets):
        pos, neg = gradient_guided_weights(self.ratio, 12.0, 0.8, 4.0)
        one = torch.ones(1)
        y = logits.new_zeros(logits.shape)
        y[torch.arange(len(targets)), targets] = 1
        weight = torch.cat([pos, one]) * y + torch.cat([neg, one]) * (1 - y)
        loss = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
        loss = (loss * weight).sum() / len(logits)
        p = logits.detach().sigmoid()
        gradient = (y * (p - 1) + (1 - y) * p).abs()
        self.pos_grad += (gradient * y * weight).sum(0)[:-1]
        self.neg_grad += (gradient * (1 - y) * weight).sum(0)[:-1]
        self.ratio = self.pos_grad / (self.neg_grad + 1e-10)
        return loss


def loss_alone(num_rows: int, rounds: int) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(num_rows, NUM_CLASSES + 1) - 5).requires_grad_()
    targets = torch.randint(NUM_CLASSES, (num_rows,))
    targets[num_rows // 4 :] = NUM_CLASSES
    plain = FastRCNNOutputLayers(
        ShapeSpec(channels=8),
        box2box_transform=Box2BoxTransform(weights=(10, 10, 5, 5)),
        num_classes=NUM_CLASSES,
        use_sigmoid_ce=True,
    )
    losses = {
        "EQLv2, with statistics": EQLv2(NUM_CLASSES),
        "Detectron2's sigmoid loss": plain.sigmoid_cross_entropy_loss,
        "EQL v2, literal": LiteralEQLv2(),
    }

    def step(loss):
        logits.grad = None
        loss(logits, targets).backward()

    compare(
        f"forward + backward, {num_rows:,} x {NUM_CLASSES + 1} logits",
        {name: lambda loss=loss: step(loss) for name, loss in losses.items()},
        rounds,
    )


def training_step(loss: str):
    """A function that does one whole training step of Mask R-CNN R50-FPN."""
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file("configs/LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_softmax.yaml")
    cfg.MODEL.EQL.LOSS = loss
    cfg.MODEL.DEVICE = "cpu"
    # No weights are at hand, and frozen statistics of a random network let it overflow.
    cfg.MODEL.RESNETS.NORM, cfg.MODEL.BACKBONE.FREEZE_AT = "BN", 0
    torch.manual_seed(0)
    model = build_model(cfg).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    instances = Instances((320, 416))
    corners = torch.rand(12, 2) * 200
    boxes = torch.cat([corners, corners + 20 + 90 * torch.rand(12, 2)], dim=1)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.randint(NUM_CLASSES, (12,))
    masks = torch.zeros(12, 320, 416, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist()):
        mask[y1:y2, x1:x2] = True
    instances.gt_masks = BitMasks(masks)
    batch = [{"image": 255 * torch.rand(3, 320, 416), "instances": instances}] * 2

    def step():
        torch.manual_seed(1)
        with EventStorage():
            losses = model(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()

    return step


def main() -> None:
    loss_alone(8192, rounds=25)
    loss_alone(1024, rounds=100)
    compare(
        "one training step of Mask R-CNN R50-FPN, 1203 classes, 2 images of 416 x 320",
        {"EQLv2": training_step("EQLv2"), "softmax cross entropy": training_step("SoftmaxCE")},
        rounds=11,
    )
