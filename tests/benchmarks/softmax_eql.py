"""SoftmaxEQL against PyTorch's cross entropy and against the formulas written down literally."""

import torch
import torch.nn.functional as F

from eql_d2 import SoftmaxEQL
from tests.benchmarks.memory import peak_memory
from tests.benchmarks.timing import compare

# Rows of ImageNet-LT, and maps of four ADE20K crops
SHAPES = {"65,536 x 1000": (65536, 1000), "4 x 150 x 512 x 512": (4, 150, 512, 512)}


class LiteralSoftmaxEQL:
    """The formulas one after the other, as the official code does: one-hot targets, a margin for
    each entry, and the gradient from a hook."""

    def __init__(self, num_classes: int):
        self.pos_grad = torch.zeros(num_classes)
        self.neg_grad = torch.zeros(num_classes)

    def __call__(self, logits, targets):
        if logits.dim() > 2:
            logits, targets = logits.permute(0, 2, 3, 1).flatten(0, 2), targets.flatten()
        one_hot = torch.zeros_like(logits)
        one_hot[torch.arange(len(targets)), targets] = 1
        gradient = self.pos_grad.clamp(min=1e-4)
        margin = (gradient[None] / gradient[targets][:, None]).log() * (1 - one_hot)
        adjusted = logits + margin
        adjusted.register_hook(lambda grad: self.collect(grad, one_hot))
        return F.cross_entropy(adjusted, targets)

    def collect(self, grad, one_hot):
        self.pos_grad += (grad.abs() * one_hot).sum(0)
        self.neg_grad += (grad.abs() * (1 - one_hot)).sum(0)


def build(name: str, num_classes: int):
    return {
        "SoftmaxEQL, with statistics": SoftmaxEQL(num_classes),
        "F.cross_entropy": F.cross_entropy,
        "Softmax-EQL, literal": LiteralSoftmaxEQL(num_classes),
    }[name]


NAMES = ("SoftmaxEQL, with statistics", "F.cross_entropy", "Softmax-EQL, literal")


def prepare(shape: tuple[int, ...], name: str):
    """A function that does forward and backward of one loss."""
    torch.manual_seed(0)
    logits = torch.randn(shape, requires_grad=True)
    targets = torch.randint(shape[1], shape[:1] + shape[2:])
    loss = build(name, shape[1])

    def step():
        logits.grad = None
        loss(logits, targets).backward()

    return step


def main() -> None:
    for title, shape in SHAPES.items():
        compare(
            f"forward + backward, {title} logits",
            {name: prepare(shape, name) for name in NAMES},
            rounds=9,
        )
        size = 4 * torch.Size(shape).numel()
        print(f"\npeak extra memory, {title} logits, in sizes of the logits")
        for name in NAMES:
            print(f"  {name}: {peak_memory(prepare, shape, name) / size:.2f}", flush=True)
