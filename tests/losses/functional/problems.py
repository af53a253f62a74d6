"""Random problems of the three functions, and what a form answers: loss, gradient, both sums."""

import importlib.util

import pytest
import torch

from eql_d2.losses.functional import (
    backend,
    class_focal_loss,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)

# It comes with PyTorch's builds for CUDA, that of requirements.txt too.
TRITON = importlib.util.find_spec("triton")
needs_triton = pytest.mark.skipif(TRITON is None, reason="Triton is not installed")
# Where kernels run: on a GPU, or by Triton's interpreter
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def labels_of(shape, largest, kind, generator):
    """int64 labels: "mixed" with ignored ones, or all the same."""
    if kind == "mixed":
        return torch.randint(-1, largest + 1, shape, generator=generator)
    return torch.full(shape, {"background": largest, "ignored": -1}[kind])


def focal_problem(shape, kind="mixed", with_quality=False, logits=None, seed=0):
    """Arguments of :func:`class_focal_loss` for planes of a shape (P, C, S), in float64."""
    generator = torch.Generator().manual_seed(seed)
    planes, num_classes, positions = shape
    if logits is None:
        logits = 4 * torch.randn(shape, generator=generator, dtype=torch.float64) - 2
    labels = labels_of((planes, positions), num_classes, kind, generator)
    gamma, *weights = torch.rand(3, num_classes, generator=generator, dtype=torch.float64)
    quality = torch.rand(planes, positions, generator=generator, dtype=torch.float64)
    quality[..., ::3], quality[..., 1::3] = 0, 1
    return [logits], [labels], 2 + 8 * gamma, *weights, [quality] if with_quality else None


def sigmoid_problem(shape, kind="mixed", with_groups=False, logits=None, seed=0):
    """Arguments of :func:`weighted_sigmoid_cross_entropy` for rows or maps, in float64."""
    generator = torch.Generator().manual_seed(seed)
    num_columns = shape[1]
    if logits is None:
        logits = 4 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = labels_of((shape[0], *shape[2:]), num_columns - 1, kind, generator)
    weights = torch.rand(4, num_columns, generator=generator, dtype=torch.float64)
    if not with_groups:
        return logits, labels, weights[0], weights[1], None
    group = torch.randint(0, 3, (num_columns,), generator=generator)
    return logits, labels, weights[0], weights[1:], group


def softmax_problem(shape, kind="mixed", is_soft=False, logits=None, seed=0):
    """Arguments of :func:`softmax_cross_entropy` for rows or maps, in float64."""
    generator = torch.Generator().manual_seed(seed)
    if logits is None:
        logits = 4 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = labels_of((shape[0], *shape[2:]), shape[1] - 1, kind, generator)
    margin = torch.randn(shape[1], generator=generator, dtype=torch.float64)
    if is_soft:
        labels = torch.randn(shape, generator=generator, dtype=torch.float64).softmax(1)
    return logits, labels, margin, 7.3


def on_device(loss: torch.nn.Module) -> torch.nn.Module:
    """The loss computed where kernels run, for a test whose tensors are on the CPU: what it gets
    goes there, what it returns and its statistics come back."""

    def move(value):
        if isinstance(value, (list, tuple)):
            return type(value)(map(move, value))
        return value.to(DEVICE) if isinstance(value, torch.Tensor) else value

    def before(module, args, kwargs):
        module.to(DEVICE)
        return move(args), {name: move(value) for name, value in kwargs.items()}

    def after(module, args, output):
        module.cpu()
        return output.cpu()

    loss.register_forward_pre_hook(before, with_kwargs=True)
    loss.register_forward_hook(after)
    return loss


PROBLEMS = {
    class_focal_loss: focal_problem,
    weighted_sigmoid_cross_entropy: sigmoid_problem,
    softmax_cross_entropy: softmax_problem,
}


def answers(function, problem, form, dtype):
    """Loss, positive and negative sums, and gradient of three times the loss, all in float64.

    Logits have the dtype, other numbers are float32 where it is half precision.
    """
    leaves = []
    device = DEVICE if form == "kernels" else "cpu"

    def prepared(value, is_logits=False):
        if isinstance(value, list):
            return [prepared(item, is_logits) for item in value]
        if not isinstance(value, torch.Tensor):
            return value
        value = value.to(device)
        if not value.is_floating_point():
            return value
        if not is_logits:
            return value.to(torch.promote_types(dtype, torch.float32))
        leaves.append(value.to(dtype).requires_grad_())
        return leaves[-1]

    logits, *others = problem
    with backend(form):
        sums = function(prepared(logits, is_logits=True), *map(prepared, others))
        gradients = torch.autograd.grad(3 * sums.loss, leaves)
    assert all(g.dtype == dtype for g in gradients)
    found = [*sums, *gradients]
    assert not any(value.requires_grad for value in found[1:])
    return [value.detach().double().cpu() for value in found]


def assert_same(found, expected, relative):
    """Each within so much of the largest entry of what is expected."""
    for ours, theirs in zip(found, expected):
        bound = relative * float(theirs.abs().max()) if theirs.numel() else 0
        torch.testing.assert_close(ours, theirs, rtol=0, atol=max(bound, 1e-30))
