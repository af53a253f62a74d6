"""Weighted sigmoid cross entropy, fused; the maths is in ``../sigmoid.py``."""

import torch
from torch import Tensor

from ..kernels import sigmoid as kernels
from ..planes import as_planes
from ..results import LossSums
from .tiling import partial_sums, short_labels, tiling


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../sigmoid.py``."""
    z, label = as_planes(logits.contiguous(), short_labels(targets))
    weights = pos_weight.float().contiguous(), neg_weight.float().contiguous()
    if row_weight is not None:
        row_weight = row_weight.float().contiguous()
    loss, pos_grad, neg_grad = _forward(z, label, *weights, label_group, row_weight)
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


@torch.library.custom_op("eql_d2::weighted_sigmoid_cross_entropy", mutates_args=())
def _forward(
    z: Tensor,
    label: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None,
    row_weight: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    tiles, group, of_row = tiling(z), _pointer(label_group, label), _pointer(row_weight, label)
    sums = partial_sums([tiles], pos_weight)
    tiles.launch(
        kernels.forward_kernel,
        *(z, label, pos_weight, neg_weight, group, of_row, sums, sums.shape[1]),
        TILES=tiles.tiles,
        HAS_GROUPS=label_group is not None,
        HAS_ROW_WEIGHT=row_weight is not None,
    )
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64)
    return loss.sum().float(), pos_grad.clone(), neg_grad.clone()


def _pointer(value: Tensor | None, label: Tensor) -> Tensor:
    """Without groups, or weights of rows, any pointer will do."""
    return label if value is None else value


@_forward.register_fake
def _(z, label, pos_weight, neg_weight, label_group, row_weight):
    sums = torch.empty_like(pos_weight, dtype=torch.float64)
    return pos_weight.new_empty(()), sums, torch.empty_like(sums)


@torch.library.custom_op("eql_d2::weighted_sigmoid_cross_entropy_backward", mutates_args=())
def _backward(
    grad_loss: Tensor,
    z: Tensor,
    label: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None,
    row_weight: Tensor | None,
) -> Tensor:
    gradient, group = torch.empty_like(z), _pointer(label_group, label)
    of_row = _pointer(row_weight, label)
    tiling(z).launch(
        kernels.backward_kernel,
        *(z, label, pos_weight, neg_weight, group, of_row, grad_loss, gradient),
        HAS_GROUPS=label_group is not None,
        HAS_ROW_WEIGHT=row_weight is not None,
    )
    return gradient


@_backward.register_fake
def _(grad_loss, z, label, pos_weight, neg_weight, label_group, row_weight):
    return torch.empty_like(z)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, grad_loss, grad_pos, grad_neg):
    return _backward(grad_loss, *ctx.saved_tensors), None, None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)
