"""Softmax cross entropy with a margin for each class, fused; the maths is in ``../softmax.py``."""

import torch
from torch import Tensor

from .. import dense
from ..kernels import softmax as kernels
from ..planes import as_planes
from ..results import LossSums
from .tiling import partial_sums, row_tiling, short_labels, tiling


def softmax_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    margin: Tensor,
    normalizer: float | Tensor = 1.0,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../softmax.py``; soft labels take the dense form."""
    if targets.is_floating_point():
        return dense.softmax_cross_entropy(logits, targets, margin, normalizer, row_weight)
    margin = margin.float().contiguous()
    scale = (margin.new_ones(()) / normalizer).float()
    z, label = as_planes(logits.contiguous(), short_labels(targets))
    if row_weight is not None:
        row_weight = row_weight.float().contiguous()
    loss, pos_grad, neg_grad, _, _ = _forward(z, label, margin, scale, row_weight)
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


@torch.library.custom_op("eql_d2::softmax_cross_entropy", mutates_args=())
def _forward(
    z: Tensor, label: Tensor, margin: Tensor, scale: Tensor, row_weight: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    tiles = tiling(z)
    log_sum = margin.new_empty(label.shape)
    rest = torch.empty_like(log_sum)
    sums = partial_sums([tiles], margin)
    of_rows = z, label, margin, log_sum, rest
    row_tiling(z).launch_on_rows(kernels.rows_kernel, *of_rows)
    tiles.launch(
        kernels.sums_kernel,
        *(*of_rows, label if row_weight is None else row_weight, sums, sums.shape[1]),
        TILES=tiles.tiles,
        HAS_ROW_WEIGHT=row_weight is not None,
    )
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64) * scale
    return loss.sum().float(), pos_grad.clone(), neg_grad.clone(), log_sum, rest


@_forward.register_fake
def _(z, label, margin, scale, row_weight):
    rows = margin.new_empty(label.shape)
    sums = torch.empty_like(margin, dtype=torch.float64)
    return margin.new_empty(()), sums, torch.empty_like(sums), rows, torch.empty_like(rows)


@torch.library.custom_op("eql_d2::softmax_cross_entropy_backward", mutates_args=())
def _backward(
    grad_loss: Tensor,
    z: Tensor,
    label: Tensor,
    margin: Tensor,
    scale: Tensor,
    row_weight: Tensor | None,
    log_sum: Tensor,
    rest: Tensor,
) -> Tensor:
    gradient = torch.empty_like(z)
    of_row = label if row_weight is None else row_weight
    tiling(z).launch(
        kernels.backward_kernel,
        *(z, label, margin, log_sum, rest, of_row, scale, grad_loss, gradient),
        HAS_ROW_WEIGHT=row_weight is not None,
    )
    return gradient


@_backward.register_fake
def _(grad_loss, z, label, margin, scale, row_weight, log_sum, rest):
    return torch.empty_like(z)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output[3:])


def _differentiate(ctx, grad_loss, *_):
    return _backward(grad_loss, *ctx.saved_tensors), None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)
