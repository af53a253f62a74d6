"""Accumulated positive and negative gradients of each class: the state of the family."""

import torch
import torch.distributed as dist
from torch import Tensor

from ..exceptions import InputError
from .arguments import is_number
from .exact_buffers import ExactBuffers


class GradientStatistics(ExactBuffers):
    """Running sums of the positive and the negative gradients of each class.

    "Positive" are the gradients from samples of the class, "negative" those from samples of all
    other classes and of the background (arXiv 2012.08548, section 4.1). The sums run over the
    whole training, as in the official code; with a ``decay`` below 1 old steps are forgotten, for
    trainings in which early positive gradients would keep the ratio up.

    The buffers are float64, whatever the model is cast to: float32 stops counting increments of one
    at 1.7e7. They are saved with the model. A checkpoint without them (plain Detectron2) loads
    without complaint.

    Args:
        num_classes: number C of foreground classes.
        initial_ratio: ratio of a class that has received no gradient of either kind yet.
        decay: factor of the sums at each step; 1 (official code) forgets nothing.

    Raises:
        InputError: the decay is not above 0 and at most 1.
    """

    pos_grad: Tensor
    neg_grad: Tensor

    def __init__(self, num_classes: int, initial_ratio: float = 1.0, decay: float = 1.0):
        super().__init__()
        if not (is_number(decay) and 0 < decay <= 1):
            raise InputError(f"decay of the gradient statistics is {decay}: give 0 < decay <= 1")
        self.decay = decay
        self.num_classes = num_classes
        self.initial_ratio = initial_ratio
        self.register_buffer("pos_grad", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("neg_grad", torch.zeros(num_classes, dtype=torch.float64))

    @torch.no_grad()
    def update(self, pos_grad: Tensor, neg_grad: Tensor) -> None:
        """Add the sums of one step, over all processes.

        Collective: with more than one process, each must call it once a step, also one that has
        no samples. A step with a value that is not finite, on any process, is left out as a whole.

        Args:
            pos_grad: sums of absolute positive gradients, (C,), any floating dtype.
            neg_grad: the same of the negative gradients.
        """
        if pos_grad.shape != self.pos_grad.shape or neg_grad.shape != self.neg_grad.shape:
            raise InputError(
                f"GradientStatistics of {self.num_classes} classes got sums of shapes "
                f"{tuple(pos_grad.shape)} and {tuple(neg_grad.shape)}: both must be "
                f"({self.num_classes},)"
            )
        step = torch.stack([pos_grad, neg_grad]).to(self.pos_grad)
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            dist.all_reduce(step)
        self.add(step)

    @torch.no_grad()
    def add(self, step: Tensor) -> None:
        """:meth:`update` with sums (2, C), positive and negative, that are already those of all
        processes. No collective."""
        if self.pos_grad.dtype != torch.float64:  # FSDP casts buffers past the module
            raise InputError(
                f"the gradient statistics have been cast to {self.pos_grad.dtype}, in which sums "
                "stop counting: keep buffers as they are (FSDP: MixedPrecision(buffer_dtype=None))"
            )
        # where() instead of a branch: no device synchronisation.
        finite = step.isfinite().all()
        step = torch.where(finite, step, torch.zeros_like(step))
        decay = 1 - (1 - self.decay) * finite.to(step.dtype)
        self.pos_grad.mul_(decay).add_(step[0])
        self.neg_grad.mul_(decay).add_(step[1])

    def ratio(self, eps: float = 1e-10) -> Tensor:
        """Positive over negative gradient of each class, float64 (C,)."""
        ratio = self.pos_grad / (self.neg_grad + eps)
        untouched = (self.pos_grad == 0) & (self.neg_grad == 0)
        return ratio.masked_fill(untouched, self.initial_ratio)

    def reset(self) -> None:
        """Forget everything accumulated so far."""
        self.pos_grad.zero_()
        self.neg_grad.zero_()

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, initial_ratio={self.initial_ratio}, "
            f"decay={self.decay}"
        )

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        for name, value in self.named_buffers():
            state_dict.setdefault(prefix + name, value)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
