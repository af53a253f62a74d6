"""An autograd function that keeps its inputs and computes the gradient in the backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


class Recomputed(torch.autograd.Function):
    """Loss and column sums: ``apply(sums, gradient, z, *constants)``.

    ``sums(z, *constants)`` returns loss, positive and negative sums; ``gradient(z, *constants)``
    the derivative of the loss. The logits z are planes (P, C, S).
    """

    @staticmethod
    def forward(
        ctx, sums: Callable, gradient: Callable, z: Tensor, *constants: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(z, *constants)
        ctx.gradient = gradient
        loss, pos_grad, neg_grad = sums(z, *constants)
        ctx.mark_non_differentiable(pos_grad, neg_grad)
        ctx.set_materialize_grads(False)
        return loss, pos_grad, neg_grad

    @staticmethod
    def backward(ctx, grad_loss: Tensor | None, grad_pos: None, grad_neg: None):
        z, *constants = ctx.saved_tensors
        if grad_loss is None:  # of a loss that nothing is made of
            return None, None, None, *[None] * len(constants)
        # Scaled before it is rounded to half precision: a GradScaler's scale saves small values.
        gradient = ctx.gradient(z, *constants) * grad_loss
        return None, None, gradient.to(z.dtype), *[None] * len(constants)
