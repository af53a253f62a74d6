"""How a gradient that was made in the forward pass is used."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..results import LossSums


class OnePass(torch.autograd.Function):
    """Loss, gradient and column sums from one pass over the logits.

    A subclass implements ``forward(ctx, arguments, *logits)`` and ends it with :meth:`finish`. All
    but the logits are constants.
    """

    @staticmethod
    def finish(
        ctx, gradients: Sequence[Tensor], logits: Sequence[Tensor], sums: LossSums
    ) -> LossSums:
        """Keep the gradients, one for each of the logits, for the backward pass."""
        ctx.save_for_backward(*gradients)
        ctx.logits_dtype = logits[0].dtype
        ctx.mark_non_differentiable(sums.pos_grad, sums.neg_grad)
        ctx.set_materialize_grads(False)
        return sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss, grad_pos, grad_neg):
        gradients = ctx.saved_tensors
        if grad_loss is None:  # of a loss that nothing is made of
            return None, *[None] * len(gradients)
        # Mostly 1, and then no copy of the size of the logits is made; a device other than the CPU
        # is not asked, it would have to be waited for. Scaled before it is rounded to half
        # precision: a GradScaler's scale saves small values.
        if grad_loss.device.type != "cpu" or grad_loss != 1:
            gradients = [gradient * grad_loss for gradient in gradients]
        return None, *(gradient.to(ctx.logits_dtype) for gradient in gradients)
