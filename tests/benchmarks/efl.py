"""EFL against what a user would use instead: time and peak memory."""

import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from fvcore.nn import sigmoid_focal_loss_jit
from tabulate import tabulate
from torchvision.ops import sigmoid_focal_loss

from eql_d2 import EFL, add_eql_config
from tests.benchmarks.memory import peak_memory
from tests.benchmarks.timing import compare

NUM_CLASSES = 1203


class LiteralEFL:
    """The official formulation: one-hot targets, dense masks, and the statistics from the
    gradient that a backward hook sees."""

    def __init__(self):
        self.pos_grad = torch.zeros(NUM_CLASSES)
        self.neg_grad = torch.zeros(NUM_CLASSES)
        self.ratio = torch.ones(NUM_CLASSES)

    def __call__(self, logits, targets, normalizer):
        y = one_hot(targets)
        gamma = (2 + 8 * (1 - self.ratio)).expand(len(logits), -1)
        p = torch.sigmoid(logits)
        p_t = p * y + (1 - p) * (1 - y)
        weight = (0.25 * y + 0.75 * (1 - y)) * (gamma / 2)
        loss = (-torch.log(p_t) * (1 - p_t) ** gamma * weight).sum() / normalizer
        logits.register_hook(lambda gradient: self.collect(gradient.abs(), y))
        return loss

    def collect(self, gradient, y):
        self.pos_grad += (gradient * y).sum(0)
        self.neg_grad += (gradient * (1 - y)).sum(0)
        self.ratio = (self.pos_grad / (self.neg_grad + 1e-10)).clamp(0, 1)


def one_hot(targets):
    y = torch.zeros(len(targets), NUM_CLASSES + 1)
    return y.scatter_(1, targets[:, None], 1.0)[:, :-1].contiguous()


def plain_focal(logits, y, alpha, gamma, reduction):
    """The formula, for torch.compile."""
    p = torch.sigmoid(logits)
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, y, reduction="none"
    )
    p_t = p * y + (1 - p) * (1 - y)
    return ((alpha * y + (1 - alpha) * (1 - y)) * (1 - p_t) ** gamma * cross_entropy).sum()


def make_step(name: str, num_rows: int):
    """Inputs, and a function that does forward + backward (+ statistics) once."""
    torch.manual_seed(0)
    logits = (torch.randn(num_rows, NUM_CLASSES) - 5).requires_grad_()
    targets = torch.full((num_rows,), NUM_CLASSES)
    targets[:: num_rows // 200] = torch.randint(NUM_CLASSES, targets[:: num_rows // 200].shape)
    normalizer = 200.0
    if name == "floor":
        destination = torch.empty_like(logits)
        return lambda: torch.mul(logits.detach(), 0.5, out=destination)
    if name == "sigmoid":
        return lambda: torch.sigmoid(logits.detach())
    if name == "literal":
        loss = LiteralEFL()
    elif name == "efl":
        efl = EFL(NUM_CLASSES)

        def loss(logits, targets, normalizer):
            return efl(logits, targets, normalizer=normalizer)
    else:
        focal = {
            "fvcore": sigmoid_focal_loss_jit,
            "torchvision": sigmoid_focal_loss,
            "compile": torch.compile(plain_focal),
        }[name]

        def loss(logits, targets, normalizer):
            y = one_hot(targets)
            return focal(logits, y, alpha=0.25, gamma=2.0, reduction="sum") / normalizer

    def step():
        logits.grad = None
        loss(logits, targets, normalizer).backward()

    return step


NAMES = {
    "efl": "EFL, with statistics",
    "literal": "EFL, literal",
    "fvcore": "fvcore sigmoid_focal_loss_jit",
    "torchvision": "torchvision sigmoid_focal_loss",
    "compile": "torch.compile of the focal loss",
    "sigmoid": "sigmoid alone",
    "floor": "floor: read the logits, write a gradient",
}


def memory_table(num_rows: int) -> None:
    size = num_rows * NUM_CLASSES * 4
    rows = [[NAMES[name], f"{peak_memory(make_step, name, num_rows) / size:.2f}"] for name in NAMES]
    print(f"\npeak extra memory, {num_rows:,} x {NUM_CLASSES} logits, in sizes of the logits")
    print(tabulate(rows, tablefmt="github", disable_numparse=True), flush=True)


def make_detector_step(name: str):
    """A function that does forward + backward of a RetinaNet R50 or of its backbone alone."""
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file("configs/LVISv1-Detection/retinanet_R_50_FPN_1x_efl.yaml")
    cfg.MODEL.DEVICE = "cpu"
    # No weights are at hand, and frozen statistics of a random network let it overflow.
    cfg.MODEL.RESNETS.NORM, cfg.MODEL.BACKBONE.FREEZE_AT = "BN", 0
    if name == "detectron2":
        cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    torch.manual_seed(0)
    model = build_model(cfg).train()
    instances = Instances((640, 640))
    corners = 400 * torch.rand(12, 2)
    boxes = torch.cat([corners, corners + 40 + 180 * torch.rand(12, 2)], dim=1)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.randint(NUM_CLASSES, (12,))
    batch = [{"image": 255 * torch.rand(3, 640, 640), "instances": instances}] * 2

    def step():
        model.zero_grad()
        if name == "backbone":
            features = model.backbone(model.preprocess_image(batch).tensor)
            sum(x.mean() for x in features.values()).backward()
            return
        with EventStorage():
            sum(model(batch).values()).backward()

    return step


def detector_tables() -> None:
    names = {"ours": "EQLRetinaNet, EFL", "detectron2": "Detectron2's RetinaNet, focal loss"}
    title = "forward + backward of RetinaNet R50-FPN, 1203 classes, 2 images of 640 x 640"
    compare(title, {names[n]: make_detector_step(n) for n in names}, rounds=3)
    backbone = peak_memory(make_detector_step, "backbone")
    rows = [
        [names[n], f"{(peak_memory(make_detector_step, n) - backbone) / 2**30:.2f}"] for n in names
    ]
    print("\npeak memory above that of the backbone's step, GiB")
    print(tabulate(rows, tablefmt="github", disable_numparse=True), flush=True)


def main() -> None:
    for num_rows, rounds in ((16384, 9), (131072, 3)):
        compare(
            f"forward + backward, {num_rows:,} x {NUM_CLASSES} logits",
            {NAMES[name]: make_step(name, num_rows) for name in NAMES},
            rounds,
        )
        memory_table(num_rows)
    detector_tables()
